package agent

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
)

// quiet is a federation of which no leader is heard.
type quiet struct {
	Federation
	view   *catalog.View
	leader catalog.GatewayID
	asked  int
}

func (q *quiet) View() *catalog.View { return q.view }

func (q *quiet) Consensus() status.Consensus { return status.Consensus{Leader: q.leader} }

func (q *quiet) Expelled(context.Context) catalog.GatewayID { q.asked++; return "" }

// answering answers those who ask whether they are known.
type answering struct {
	Federations
	known bool
	err   error
	asked int
}

func (a *answering) Known(context.Context, Common) (bool, error) { a.asked++; return a.known, a.err }

func TestAGatewayAsksWhetherItWasRemovedAfterASilenceOnly(t *testing.T) {
	for name, test := range map[string]struct {
		answer  answering
		removed bool
	}{
		"it is unknown": {answering{}, true},
		"it is known":   {answering{known: true}, false},
		"nobody says":   {answering{err: errors.New("no route to host")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				state, gateway := seeded(t)
				f := &quiet{view: state.View(), leader: gateway.ID()}
				tend := &tender{Agent: &Agent{self: gateway.ID(), deps: Deps{
					Config: config.Config{Datacenter: "east", Gateway: "gw"}, Federations: &test.answer,
				}}}
				m, common := &member{Membership: Membership{FederationID: "f"}, federation: f}, Common{Standing: &Standing{FederationID: "f"}}
				assert.False(t, tend.removed(t.Context(), m, common))
				f.leader = ""
				assert.False(t, tend.removed(t.Context(), m, common))
				time.Sleep(silenceGrace - time.Second)
				assert.False(t, tend.removed(t.Context(), m, common))
				assert.Zero(t, test.answer.asked, "a leader may just be elected")
				time.Sleep(time.Second)
				assert.Equal(t, test.removed, tend.removed(t.Context(), m, common))
				assert.Equal(t, 1, test.answer.asked)
				f.leader = gateway.ID()
				assert.False(t, tend.removed(t.Context(), m, common))
				f.leader = ""
				assert.False(t, tend.removed(t.Context(), m, common), "the silence begins anew")
				assert.Equal(t, 1, test.answer.asked)
			})
		})
	}
}

func TestADatacenterAsksWhetherItWasRemovedAfterASilenceAndThenNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &quiet{}
		tend, m := &tender{Agent: &Agent{}}, &member{federation: f}
		for range silenceGrace / time.Second {
			tend.lookForExpulsion(t.Context(), m)
			time.Sleep(time.Second)
		}
		assert.Zero(t, f.asked)
		for range expelledRetry / time.Second {
			tend.lookForExpulsion(t.Context(), m)
			time.Sleep(time.Second)
		}
		assert.Equal(t, 1, f.asked)
		tend.lookForExpulsion(t.Context(), m)
		assert.Equal(t, 2, f.asked)
	})
}

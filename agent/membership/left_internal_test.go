package membership

import (
	"net/netip"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/state"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

func TestWhatALeaveLeftIsGuardedUntilAnyGatewayReleasesIt(t *testing.T) {
	guarding := func(c *Config) {
		c.Kernel.Left = state.File[plan.Left]{Path: filepath.Join(t.TempDir(), "left.json"), What: "left"}
	}
	simulate(t, guarding, func(t *testing.T, w *reconcilerWorld) {
		table := func() routes.TableState {
			synctest.Wait()
			found, err := w.cfg.Kernel.Firewall.State(t.Context())
			require.NoError(t, err)
			return found
		}
		w.left = plan.Left{Federation: "test", Prefixes: []plan.Withdrawn{{
			Datacenter: "west", Prefix: catalog.Prefix{CIDR: netip.MustParsePrefix("10.2.0.0/16"), Kind: catalog.PodPrefix},
		}}}
		w.siblings.state = identity.SharedState{Left: w.membership().FederationID}
		w.inside(t, nil)
		assert.Equal(t, routes.TableIntact, table())
		assert.Equal(t, []string{"left-guarded"}, w.codes())
		assert.True(t, w.Reachability().Guarded)
		explained, err := w.Routes(t.Context(), netip.MustParseAddr("10.2.0.9"))
		require.NoError(t, err)
		assert.Contains(t, explained.Destination.Verdict, "until meshctl leave --release")
		require.Equal(t, checkInterval, w.pass(t.Context()))
		assert.Equal(t, routes.TableIntact, table(), "nothing releases it")
		require.Error(t, w.Leave(t.Context(), LeaveOptions{}, noProgress))
		assert.Equal(t, routes.TableIntact, table(), "without --release")

		w.siblings.state.Released = true // by another gateway
		assert.Equal(t, checkInterval, w.pass(t.Context()))
		assert.Equal(t, routes.TableAbsent, table())
		assert.Empty(t, w.codes())
		assert.False(t, w.Reachability().Guarded)

		w.siblings.state = identity.SharedState{Left: w.membership().FederationID}
		w.inside(t, nil)
		require.Equal(t, routes.TableIntact, table())
		for range 2 { // a release is idempotent
			require.NoError(t, w.Leave(t.Context(), LeaveOptions{Release: true}, noProgress))
			assert.Equal(t, routes.TableAbsent, table())
			assert.True(t, w.siblings.state.Released, "the other gateways follow")
		}

		w.siblings.state = identity.SharedState{Left: w.membership().FederationID, Released: true}
		w.inside(t, nil)
		assert.Equal(t, routes.TableAbsent, table(), "the leave itself released")
	})
}

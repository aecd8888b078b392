package proposals

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/quota"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

func TestAGatewayWithTheLongestLegalNamesCanWrite(t *testing.T) {
	id := catalog.NewGatewayID(catalog.DatacenterName(strings.Repeat("d", 63)), strings.Repeat("g", 63))
	now := time.Now()
	stamped, _ := NewSession(id, now).Stamp([]*catalogpb.Command{catalog.NewLeave("east")}, now)
	verdict := replica.New().Judge(stamped, quota.DefaultLimits(), now)[0]
	require.NotNil(t, verdict.Result.Refusal)
	assert.Equal(t, catalog.CodeNotInitialized, verdict.Result.Refusal.Code, verdict.Result.Refusal.Message)
}

// A gateway that restarts often would otherwise exceed the limit of clients, and
// could not write for a day.
func TestAGatewayIsOneClientHoweverOftenItRestarts(t *testing.T) {
	now := time.Now()
	var last *catalogpb.Command
	for range 3 {
		s := NewSession("east/gw0", now)
		for range 10 {
			stamped, release := s.Stamp([]*catalogpb.Command{catalog.NewLeave("east")}, now)
			if last != nil {
				assert.Equal(t, last.GetClient(), stamped[0].GetClient())
				assert.Greater(t, stamped[0].GetSequence(), last.GetSequence())
			}
			last = stamped[0]
			assert.Greater(t, last.GetSequence(), last.GetAcknowledged())
			release()
		}
		now = now.Add(time.Second)
	}
}

// Results that a process did not acknowledge are those of the process before.
func TestANewProcessAcknowledgesTheResultsOfTheOneBefore(t *testing.T) {
	now := time.Now()
	before, _ := NewSession("east/gw0", now).Stamp([]*catalogpb.Command{{}, {}, {}}, now)
	after, _ := NewSession("east/gw0", now.Add(time.Second)).Stamp([]*catalogpb.Command{{}}, now)
	for _, c := range before {
		assert.LessOrEqual(t, c.GetSequence(), after[0].GetAcknowledged())
	}
}

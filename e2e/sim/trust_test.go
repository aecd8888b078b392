package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// catalogIndex returns the index of the last command in the gateway's catalog.
func (g *gateway) catalogIndex(t *testing.T) uint64 {
	t.Helper()
	member, err := g.agent.Member()
	require.NoError(t, err)
	return member.View().Index()
}

// signed reports whether all records in the gateway's catalog are signed.
func (g *gateway) signed(t *testing.T) bool {
	t.Helper()
	member, err := g.agent.Member()
	require.NoError(t, err)
	view := member.View()
	for _, dc := range view.Datacenters() {
		if dc.Signature.IsZero() {
			return false
		}
	}
	for _, other := range view.Gateways() {
		if other.Signature.IsZero() {
			return false
		}
	}
	return true
}

func TestEveryMemberSignsItsRecordsOnce(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west, north := sim.datacenter("east", 1), sim.datacenter("west", 2), sim.datacenter("north", 3)
		federate(t, east, west, north)
		await(t, "all records are signed", func() bool { return east.signed(t) && north.signed(t) })
		time.Sleep(time.Minute)
		before := east.catalogIndex(t)
		time.Sleep(longTime)
		assert.Equal(t, before, east.catalogIndex(t), "nothing is written while nothing changes")
		assert.Empty(t, problemCodes(west.agent.Status()))
	})
}

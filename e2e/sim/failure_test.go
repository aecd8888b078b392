package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNewLeaderAcceptsWritesAfterTheLeaderCrashed(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west, north := sim.datacenter("east", 1), sim.datacenter("west", 2), sim.datacenter("north", 3)
		federate(t, east, west, north)
		lead, others := leader(t, east, west, north)
		lead.crash()
		_, queued, err := others[0].register(t.Context(), service("after", others[0].pod()))
		require.NoError(t, err)
		assert.False(t, queued)
		await(t, "the third gateway has the service", func() bool { return hasService(others[1], "after") })
		lead.start()
		await(t, "the restarted gateway has the service and reaches all datacenters", func() bool { return hasService(lead, "after") && lead.reachable() == 3 })
	})
}

func TestPartitionWithdrawsNothingAndLosesNoWrite(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west, north := sim.datacenter("east", 1), sim.datacenter("west", 2), sim.datacenter("north", 3)
		federate(t, east, west, north)
		before := east.kernel.String()
		lead, others := leader(t, east, west, north)
		sim.setIsolated(lead.name(), true)

		_, queued, err := lead.register(t.Context(), service("minority", lead.pod()))
		require.NoError(t, err)
		assert.True(t, queued, "a write without quorum waits")
		assert.Positive(t, lead.agent.Status().Queue.Pending)
		_, queued, err = others[0].register(t.Context(), service("majority", others[0].pod()))
		require.NoError(t, err)
		assert.False(t, queued)
		assert.False(t, hasService(lead, "majority"))

		time.Sleep(longTime)
		assert.Len(t, lead.agent.Status().Datacenters, 3, "nothing is withdrawn without a quorum")

		sim.setIsolated(lead.name(), false)
		for _, g := range []*gateway{east, west, north} {
			await(t, g.name()+" has both writes", func() bool { return hasService(g, "minority") && hasService(g, "majority") })
			await(t, g.name()+" reaches all datacenters", func() bool { return g.reachable() == 3 })
		}
		assert.Zero(t, lead.agent.Status().Queue.Pending)
		await(t, "the routes are the same as before", func() bool { return east.kernel.String() == before })
	})
}

func TestTrafficContinuesWithoutQuorum(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west, north := sim.datacenter("east", 1), sim.datacenter("west", 2), sim.datacenter("north", 3)
		federate(t, east, west, north)
		lead, others := leader(t, east, west, north)
		survivor, second := others[0], others[1]
		lead.stop()
		second.stop()
		// The hosts of the stopped agents still forward packets.
		time.Sleep(longTime)
		s := survivor.agent.Status()
		assert.Empty(t, s.Catalog.Leader)
		assert.Contains(t, problemCodes(s), "no-leader")
		assert.Len(t, s.Datacenters, 3)
		assert.Positive(t, s.Dataplane.Routes)
		lead.start()
		second.start()
		for _, g := range []*gateway{east, west, north} {
			await(t, g.name()+" reaches all datacenters", func() bool { return g.reachable() == 3 })
		}
	})
}

func TestRestartedAgentAdoptsTheDataPlane(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west, north := sim.datacenter("east", 1), sim.datacenter("west", 2), sim.datacenter("north", 3)
		federate(t, east, west, north)
		time.Sleep(time.Minute)
		routes, created := east.kernel.String(), east.tunnels.Calls("create")
		configured := east.tunnels.Calls("configure")
		east.stop()
		assert.Equal(t, routes, east.kernel.String(), "a stopped agent keeps the routes")
		east.start()
		await(t, "east reaches all datacenters", func() bool { return east.reachable() == 3 })
		time.Sleep(time.Minute)
		assert.Equal(t, routes, east.kernel.String())
		assert.Equal(t, created, east.tunnels.Calls("create"))
		assert.Equal(t, configured, east.tunnels.Calls("configure"), "the tunnels are not reconfigured")
	})
}

func TestGatewayWithANewAddressReconnectsAutomatically(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west, north := sim.datacenter("east", 1), sim.datacenter("west", 2), sim.datacenter("north", 3)
		federate(t, east, west, north)
		west.stop()
		west.setUnderlay("203.0.113.77")
		west.start()
		for _, g := range []*gateway{east, west, north} {
			await(t, g.name()+" reaches all datacenters", func() bool { return g.reachable() == 3 })
		}
		await(t, "the catalog has the new address", func() bool {
			member, err := east.agent.Member()
			require.NoError(t, err)
			record, _ := member.View().Gateway("west/gw")
			return len(record.Endpoints) == 1 && record.Endpoints[0] == "203.0.113.77:51820"
		})
	})
}

func TestDriftIsRepairedWithinASecond(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west := sim.datacenter("east", 1), sim.datacenter("west", 2)
		federate(t, east, west)
		time.Sleep(time.Minute)
		want := east.kernel.String()
		east.kernel.DeleteRoute(east.cfg.Routing.Table, west.cfg.Prefixes[0].CIDR)
		time.Sleep(time.Second)
		assert.Equal(t, want, east.kernel.String())
		assert.Positive(t, east.agent.Status().Dataplane.Repaired)
	})
}

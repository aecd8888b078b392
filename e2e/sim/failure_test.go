package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestANewLeaderTakesWritesAfterTheLeaderIsLost(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west, north := w.site("east", 1), w.site("west", 2), w.site("north", 3)
		federate(t, east, west, north)
		lead, others := leader(t, east, west, north)
		lead.crash()
		_, queued, err := others[0].register(t.Context(), service("after", others[0].pod()))
		require.NoError(t, err)
		assert.False(t, queued)
		await(t, "the third has it", func() bool { return sees(others[1], "after") })
		lead.start()
		await(t, "the lost one catches up", func() bool { return sees(lead, "after") && lead.reachable() == 3 })
	})
}

func TestAPartitionWithdrawsNothingAndLosesNoWrite(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west, north := w.site("east", 1), w.site("west", 2), w.site("north", 3)
		federate(t, east, west, north)
		before := east.kernel.String()
		lead, others := leader(t, east, west, north)
		w.isolate(lead.name(), true)

		_, queued, err := lead.register(t.Context(), service("minority", lead.pod()))
		require.NoError(t, err)
		assert.True(t, queued, "a write without quorum waits")
		assert.Positive(t, lead.agent.Status().Queue.Pending)
		_, queued, err = others[0].register(t.Context(), service("majority", others[0].pod()))
		require.NoError(t, err)
		assert.False(t, queued)
		assert.False(t, sees(lead, "majority"))

		time.Sleep(20 * time.Minute)
		assert.Len(t, lead.agent.Status().Datacenters, 3, "nothing is withdrawn for want of a quorum")

		w.isolate(lead.name(), false)
		for _, s := range []*site{east, west, north} {
			await(t, s.name()+" has both writes", func() bool { return sees(s, "minority") && sees(s, "majority") })
			await(t, s.name()+" reaches all", func() bool { return s.reachable() == 3 })
		}
		assert.Zero(t, lead.agent.Status().Queue.Pending)
		await(t, "the routes are as before", func() bool { return east.kernel.String() == before })
	})
}

func TestWithoutQuorumAllTrafficGoesOn(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west, north := w.site("east", 1), w.site("west", 2), w.site("north", 3)
		federate(t, east, west, north)
		lead, others := leader(t, east, west, north)
		survivor, second := others[0], others[1]
		lead.stop()
		second.stop()
		// The hosts of the stopped agents still forward; only their agents are gone.
		time.Sleep(time.Hour)
		s := survivor.agent.Status()
		assert.Empty(t, s.Catalog.Leader)
		assert.Contains(t, problems(s), "no-leader")
		assert.Len(t, s.Datacenters, 3)
		assert.Positive(t, s.Dataplane.Routes)
		lead.start()
		second.start()
		for _, s := range []*site{east, west, north} {
			await(t, s.name()+" reaches all", func() bool { return s.reachable() == 3 })
		}
	})
}

func TestARestartedAgentAdoptsWhatItFinds(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west, north := w.site("east", 1), w.site("west", 2), w.site("north", 3)
		federate(t, east, west, north)
		time.Sleep(time.Minute)
		routes, created := east.kernel.String(), east.tunnels.Calls("create")
		configured, written := east.tunnels.Calls("configure"), east.filter.Writes()
		east.stop()
		assert.Equal(t, routes, east.kernel.String(), "a stopped agent leaves the routes")
		east.start()
		await(t, "east reaches all", func() bool { return east.reachable() == 3 })
		time.Sleep(time.Minute)
		assert.Equal(t, routes, east.kernel.String())
		assert.Equal(t, created, east.tunnels.Calls("create"))
		assert.Equal(t, configured, east.tunnels.Calls("configure"), "nothing about the tunnels was touched")
		_ = written
	})
}

func TestAGatewayWithAnotherAddressRejoinsByItself(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west, north := w.site("east", 1), w.site("west", 2), w.site("north", 3)
		federate(t, east, west, north)
		west.stop()
		west.move("203.0.113.77")
		west.start()
		for _, s := range []*site{east, west, north} {
			await(t, s.name()+" reaches all", func() bool { return s.reachable() == 3 })
		}
		await(t, "the catalog knows the new address", func() bool {
			member, err := east.agent.Member()
			require.NoError(t, err)
			g, _ := member.View().Gateway("west/gw")
			return len(g.Endpoints) == 1 && g.Endpoints[0] == "203.0.113.77:51820"
		})
	})
}

func TestDriftIsRepairedWithinASecond(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west := w.site("east", 1), w.site("west", 2)
		federate(t, east, west)
		time.Sleep(time.Minute)
		want := east.kernel.String()
		east.kernel.DeleteRoute(east.cfg.Routing.Table, west.cfg.Prefixes[0].CIDR)
		time.Sleep(time.Second)
		assert.Equal(t, want, east.kernel.String())
		assert.Positive(t, east.agent.Status().Dataplane.Repaired)
	})
}

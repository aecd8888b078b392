package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// TestChangesDuringMoreThanAnHourWithoutQuorumAreWrittenOnceAndInOrder changes services of a gateway
// that is alone for more than an hour, after which it can be one that was removed, over a
// restart of it.
func TestChangesDuringMoreThanAnHourWithoutQuorumAreWrittenOnceAndInOrder(t *testing.T) {
	const outage = 62 * time.Minute
	simulate(t, func(t *testing.T, sim *simulation) {
		// Packets of liveness have no part in this, and would take most of the time.
		seldom := func(cfg *config.Config) { cfg.Liveness.Interval = 5 * time.Second }
		east, west, north := sim.datacenter("east", 1, seldom), sim.datacenter("west", 2, seldom), sim.datacenter("north", 3, seldom)
		federate(t, east, west, north)
		register := func(name string, port uint16) (queued bool) {
			s := service(name, east.pod())
			s.Ports[0].Number = port
			_, queued, err := east.register(t.Context(), s)
			require.NoError(t, err)
			return queued
		}
		require.False(t, register("removed", 80))
		require.False(t, register("changed", 80))
		await(t, "west has both services", func() bool { return hasService(west, "removed") && hasService(west, "changed") })

		sim.setIsolated("east", true)
		time.Sleep(outage)
		member, err := east.agent.Member()
		require.NoError(t, err)
		view, fresh, err := member.Read(t.Context(), consensus.StaleRead)
		require.NoError(t, err)
		assert.Greater(t, fresh.LastContact, outage-time.Minute, "a stale read has its age")
		assert.Len(t, view.Services(replica.ServiceFilter{}), 2, "what the catalog had")
		assert.True(t, register("changed", 81))
		assert.True(t, register("new", 80))
		assert.True(t, register("brief", 80))
		registrar, err := east.agent.Registrar()
		require.NoError(t, err)
		for _, name := range []string{"removed", "brief"} {
			removed, _, err := registrar.Deregister(t.Context(), "", name, "")
			require.NoError(t, err)
			assert.Equal(t, 1, removed, name)
		}
		east.stop()
		east.start()
		await(t, "east has opened its catalog", func() bool {
			_, err := east.agent.Registrar()
			return err == nil
		})
		assert.True(t, register("changed", 82))
		time.Sleep(longTime)
		sim.setIsolated("east", false)
		await(t, "west has the changes", func() bool { return hasService(west, "new") && !hasService(west, "removed") })
		written := func() map[string]catalog.Service {
			member, err := west.agent.Member()
			require.NoError(t, err)
			services := map[string]catalog.Service{}
			for _, s := range member.View().Services(replica.ServiceFilter{}) {
				services[s.Name] = s
			}
			return services
		}
		await(t, "west has the last change", func() bool {
			ports := written()["changed"].Ports
			return len(ports) == 1 && ports[0].Number == 82
		})
		after := written()
		assert.Len(t, after, 2)
		time.Sleep(longTime)
		assert.Equal(t, after, written(), "nothing is written again")
		assert.Zero(t, east.agent.Status().Queue.Pending)
	})
}

package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/consensus/consensustest"
)

// A simulation begins in the year 2000. The second one is of hosts that boot without a
// battery for their clocks: they have the data of gateways that ran in later years.
func TestClockThatWasResetAtBootIsNamedAndNoDataIsGivenUp(t *testing.T) {
	const dayOfRun = 20 * 365 * 24 * time.Hour
	kept := map[string]string{}
	for _, name := range []string{"east", "west", "north"} {
		kept[name] = consensustest.TempDir(t)
	}
	datacenter := func(sim *simulation, name string, number byte) *gateway {
		return sim.datacenter(name, number, func(c *config.Config) { c.DataDir = kept[name] })
	}
	all := func(sim *simulation) []*gateway {
		return []*gateway{datacenter(sim, "east", 1), datacenter(sim, "west", 2), datacenter(sim, "north", 3)}
	}
	simulate(t, func(t *testing.T, sim *simulation) {
		time.Sleep(dayOfRun)
		sites := all(sim)
		federate(t, sites[0], sites[1:]...)
	})
	simulate(t, func(t *testing.T, sim *simulation) {
		for _, g := range all(sim) {
			awaitResetClock(t, g)
		}
	})
	simulate(t, func(t *testing.T, sim *simulation) {
		alone := datacenter(sim, "west", 2)
		time.Sleep(time.Hour + time.Minute) // by then, a lost quorum would be a possible cause
		awaitResetClock(t, alone)
	})
	simulate(t, func(t *testing.T, sim *simulation) {
		time.Sleep(dayOfRun + 24*time.Hour)
		for _, g := range all(sim) {
			await(t, g.name()+" is in the federation as before", func() bool {
				return g.reachable() == 3 && g.agent.Status().Catalog.Leader != ""
			})
			assert.NotContains(t, problemCodes(g.agent.Status()), "clock-wrong")
		}
	})
}

// awaitResetClock waits until a gateway reports its clock, and requires that nothing
// else is advised for the catalog.
func awaitResetClock(t *testing.T, g *gateway) {
	t.Helper()
	const set = "set the clock of this host (timedatectl status shows it); the rest recovers by itself"
	remedies := map[string]string{}
	await(t, g.name()+" reports its clock and the lack of a leader", func() bool {
		clear(remedies)
		for _, p := range g.agent.Status().Problems {
			assert.NotContains(t, p.Remedy, "recover ", p.Message)
			remedies[p.Code] = p.Remedy
		}
		return remedies["clock-wrong"] != "" && remedies["no-leader"] != ""
	})
	assert.Equal(t, set, remedies["clock-wrong"])
	assert.Equal(t, set, remedies["no-leader"])
}

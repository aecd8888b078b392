package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/plan"
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
	simulateNext(t, func(t *testing.T, sim *simulation) {
		time.Sleep(dayOfRun)
		sites := all(sim)
		federate(t, sites[0], sites[1:]...)
	})
	simulateNext(t, func(t *testing.T, sim *simulation) {
		for _, g := range all(sim) {
			awaitResetClock(t, g)
		}
	})
	simulateNext(t, func(t *testing.T, sim *simulation) {
		alone := datacenter(sim, "west", 2)
		time.Sleep(time.Hour + time.Minute) // by then, a lost quorum would be a possible cause
		awaitResetClock(t, alone)
	})
	simulateNext(t, func(t *testing.T, sim *simulation) {
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

// TestOneWrongClockBesideRightOnesIsNamedByAll restarts a member with a clock that is a year
// ahead or behind, in a federation of right ones.
func TestOneWrongClockBesideRightOnesIsNamedByAll(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for name, ahead := range map[string]time.Duration{"ahead": year, "behind": -year} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, sim *simulation) {
				time.Sleep(2 * year)
				east, west, north := sim.datacenter("east", 1), sim.datacenter("west", 2), sim.datacenter("north", 3)
				federate(t, east, west, north)
				all, subject := []*gateway{east, west, north}, "gateway "+string(west.cfg.GatewayID())
				west.stop()
				west.clock = func() time.Time { return time.Now().Add(ahead) }
				west.start()
				// A follower does not connect to another one, so that it does not know.
				await(t, "a right host and west name the clock of west", func() bool {
					return namesClock(west, subject) && (namesClock(east, subject) || namesClock(north, subject))
				})
				time.Sleep(5 * time.Minute)
				for _, g := range all {
					requireOneClock(t, g, subject)
				}
				assert.True(t, namesClock(west, subject), "west names itself")
				assert.True(t, namesClock(east, subject) || namesClock(north, subject), "the leader names west")
				assert.NotEmpty(t, east.agent.Status().Catalog.Leader)
				west.stop()
				west.clock = nil
				west.start()
				for _, g := range all {
					await(t, g.name()+" is in the federation as before", func() bool {
						s := g.agent.Status()
						return g.reachable() == 3 && s.Catalog.Leader != "" && !slices.Contains(problemCodes(s), "clock-wrong")
					})
				}
			})
		})
	}
}

func namesClock(g *gateway, subject string) bool {
	return slices.ContainsFunc(g.agent.Status().Problems, func(p plan.Problem) bool { return p.Code == "clock-wrong" && p.Subject == subject })
}

// requireOneClock requires that a gateway names the clock of one host only, with the remedy,
// and gives nothing up.
func requireOneClock(t *testing.T, g *gateway, subject string) {
	t.Helper()
	for _, p := range g.agent.Status().Problems {
		for _, word := range []string{"recover ", "leave", "remove"} {
			assert.NotContains(t, p.Remedy, word, "%s: %s", g.name(), p.Message)
		}
		if p.Code == "clock-wrong" {
			assert.Equal(t, subject, p.Subject, g.name())
			assert.Contains(t, p.Remedy, "set the clock of ", g.name())
		}
	}
}

// TestJoinWithAWrongClockIsRefusedAndWorksWithARightOne joins while the clock of either host
// is wrong by years, and again with the same token once it is right.
func TestJoinWithAWrongClockIsRefusedAndWorksWithARightOne(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for name, c := range map[string]struct {
		ahead   time.Duration
		inviter bool
	}{
		"joiner ahead": {ahead: 15 * year}, "joiner behind": {ahead: -15 * year}, "joiner some hours behind": {ahead: -3 * time.Hour},
		"inviter ahead": {15 * year, true}, "inviter behind": {-15 * year, true},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, sim *simulation) {
				time.Sleep(20 * year)
				east, west := sim.datacenter("east", 1), sim.datacenter("west", 2)
				_, err := east.agent.Init(t.Context(), member.InitOptions{Name: "sim"})
				require.NoError(t, err)
				token, wrong := east.createToken(t), west
				if c.inviter {
					wrong = east
				}
				ready := func() bool { return east.agent.Status().Catalog.Leader != "" }
				wrong.setClock(func() time.Time { return time.Now().Add(c.ahead) })
				await(t, "east has a leader", ready)
				err = west.join(token)
				require.Error(t, err)
				assert.Contains(t, err.Error(), "timedatectl status")
				assert.NotContains(t, err.Error(), "check that meshd runs")
				assert.Empty(t, problemCodes(west.agent.Status()), "west is no member")
				assert.Len(t, east.agent.Status().Datacenters, 1)
				wrong.setClock(nil)
				await(t, "east has a leader again", ready)
				require.NoError(t, west.join(token))
				await(t, "west reaches east", func() bool { return west.reachable() == 2 })
			})
		})
	}
}

// setClock restarts the agent with another clock.
func (g *gateway) setClock(clock func() time.Time) {
	g.stop()
	g.clock = clock
	g.start()
}

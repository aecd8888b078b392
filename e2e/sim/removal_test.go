package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/raftnode"
)

// remove has one site take another out of the federation.
func (s *site) remove(name catalog.DatacenterName, force bool) error {
	_, err := s.agent.RemoveDatacenter(s.world.t.Context(), name, force)
	return err
}

// problem finds a problem of a site by its code.
func problem(s *site, code string) (plan.Problem, bool) {
	all := s.agent.Status().Problems
	i := slices.IndexFunc(all, func(p plan.Problem) bool { return p.Code == code })
	if i < 0 {
		return plan.Problem{}, false
	}
	return all[i], true
}

func TestADatacenterThatIsGoneForGoodIsRemovedAndReplaced(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west, north := w.site("east", 1), w.site("west", 2), w.site("north", 3)
		federate(t, east, west, north)
		_, _, err := west.register(t.Context(), service("web", west.pod()))
		require.NoError(t, err)
		await(t, "north sees web", func() bool { return sees(north, "web") })
		west.crash()
		w.isolate("west", true)
		time.Sleep(10 * time.Minute)
		leader(t, east, north)
		await(t, "it is removed", func() bool { return north.remove("west", false) == nil })
		for _, s := range []*site{east, north} {
			await(t, s.name()+" forgets it", func() bool {
				st := s.agent.Status()
				return len(st.Datacenters) == 2 && st.Catalog.Voters == 1 && !sees(s, "web")
			})
		}

		again := w.site("new", 4, func(c *config.Config) {
			c.Datacenter, c.Prefixes = "west", west.cfg.Prefixes
		})
		require.NoError(t, again.join(east.token(t)), "name and prefixes are free")
		await(t, "all see the new one", func() bool {
			return east.reachable() == 3 && north.reachable() == 3 && again.reachable() == 3
		})
		before := east.kernel.String()
		w.isolate("west", false)
		west.start()
		await(t, "the old one learns that it was removed", func() bool { _, found := problem(west, "removed"); return found })
		time.Sleep(10 * time.Minute)
		assert.Equal(t, before, east.kernel.String(), "the old one changes nothing")
		assert.Equal(t, 3, again.reachable())
		assert.Empty(t, problems(east.agent.Status()))
		said, _ := problem(west, "removed")
		assert.Contains(t, said.Remedy, "meshctl leave --force")
		assert.NotContains(t, problems(west.agent.Status()), "no-leader", "to bring back its voters is no remedy")
	})
}

func TestARemovedDatacenterThatComesBackLeavesAndJoinsAgain(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west, north := w.site("east", 1), w.site("west", 2), w.site("north", 3)
		federate(t, east, west, north)
		w.isolate("north", true)
		time.Sleep(2 * time.Minute)
		leader(t, east, west)
		await(t, "it is removed", func() bool { return east.remove("north", false) == nil })
		assert.NotContains(t, problems(north.agent.Status()), "removed", "who is cut off cannot know")
		w.isolate("north", false)
		await(t, "north knows", func() bool { _, found := problem(north, "removed"); return found })
		assert.Len(t, north.agent.Status().Datacenters, 3, "nothing is taken down by itself")
		require.NoError(t, north.leave(true))
		await(t, "north is alone", func() bool { return north.agent.Status().State == status.Standalone })
		assert.NotContains(t, problems(north.agent.Status()), "removed")
		require.NoError(t, north.join(west.token(t)))
		await(t, "all see each other", func() bool { return north.reachable() == 3 && east.reachable() == 3 })
	})
}

func TestWhoIsOnlyCutOffIsNotSaidToBeRemoved(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west, north := w.site("east", 1), w.site("west", 2), w.site("north", 3)
		federate(t, east, west, north)
		_, others := leader(t, east, west, north)
		for _, s := range others {
			s.crash()
		}
		time.Sleep(10 * time.Minute)
		others[0].start()
		await(t, "there is a leader again", func() bool { return others[0].agent.Status().Catalog.Leader != "" })
		for _, s := range []*site{east, west, north} {
			_, found := problem(s, "removed")
			assert.False(t, found, s.name())
		}
	})
}

func TestTheNoOfACatalogThatLagsDoesNotCount(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west, north := w.site("east", 1), w.site("west", 2), w.site("north", 3)
		federate(t, east, west)
		w.isolate("west", true)
		require.NoError(t, north.join(east.token(t)))
		east.crash()
		w.cutBetween("west", "north", false)
		time.Sleep(10 * time.Minute) // west knows no north, and north hears no leader
		assert.Len(t, west.agent.Status().Datacenters, 2)
		assert.Contains(t, problems(north.agent.Status()), "no-leader")
		assert.NotContains(t, problems(north.agent.Status()), "removed")
	})
}

func TestRemovingADatacenterIsRefusedWithARemedy(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west, north := w.site("east", 1), w.site("west", 2), w.site("north", 3)
		federate(t, east, west, north)
		lead, others := leader(t, east, west, north)
		time.Sleep(5 * time.Minute)
		for name, c := range map[string]struct {
			dc           string
			force        bool
			code, remedy string
		}{
			"the own one":        {others[0].name(), true, catalog.CodeOwnDatacenter, "meshctl leave"},
			"a typing mistake":   {others[1].name() + "x", false, catalog.CodeUnknownDatacenter, "did you mean " + others[1].name() + "?"},
			"one that lives":     {others[1].name(), false, consensus.CodeDatacenterActive, "--force"},
			"that of the leader": {lead.name(), true, consensus.CodeDatacenterLeads, "transfer-leader"},
		} {
			var refusal *catalog.Refusal
			require.ErrorAs(t, others[0].remove(catalog.DatacenterName(c.dc), c.force), &refusal, name)
			assert.Equal(t, c.code, refusal.Code, name)
			assert.Contains(t, refusal.Remedy, c.remedy, name)
			assert.Equal(t, "datacenter", refusal.Field, name)
		}
		assert.Len(t, east.agent.Status().Datacenters, 3)
	})
}

func TestWithoutAQuorumARemovalNamesTheWayOut(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west := w.site("east", 1), w.site("west", 2)
		federate(t, east, west)
		east.crash() // the only voter
		time.Sleep(10 * time.Minute)
		err := west.remove("east", true)
		require.ErrorContains(t, err, "meshd recover")
	})
}

func TestAfterARecoveryTheLostVotersAreRemovedAndKnowIt(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west := w.site("east", 1), w.site("west", 2)
		federate(t, east, west)
		w.isolate("east", true) // the only voter: it goes on to lead, alone
		west.stop()
		west.recover(t, "west/gw")
		west.start()
		leader(t, west)
		time.Sleep(2 * time.Minute)
		require.NoError(t, west.remove("east", false))
		w.isolate("east", false)
		await(t, "east knows", func() bool { _, found := problem(east, "removed"); return found })
		for range 60 {
			time.Sleep(10 * time.Second)
			_, found := problem(east, "removed")
			assert.True(t, found, "it is said all the time")
		}
		assert.Equal(t, "leader", east.agent.Status().Catalog.Role, "of a catalog that nobody else shares")
		assert.Len(t, west.agent.Status().Datacenters, 1)
	})
}

// recover makes raft decide with the given voters, while the agent is stopped.
func (s *site) recover(t *testing.T, voters ...catalog.GatewayID) {
	t.Helper()
	store, err := identity.Open(s.cfg.DataDir)
	require.NoError(t, err)
	defer store.Close()
	_, err = raftnode.Recover(raftnode.Recovery{
		Dir: store.RaftDir(), ID: catalog.NewGatewayID(s.cfg.Datacenter, s.cfg.Gateway), Voters: voters, Now: time.Now(),
	})
	require.NoError(t, err)
}

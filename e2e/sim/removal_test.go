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
	"github.com/meshway/meshway/agent/trust"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/raftnode"
)

// remove removes a datacenter from the federation.
func (g *gateway) remove(name catalog.DatacenterName, force bool) error {
	_, err := g.agent.RemoveDatacenter(g.sim.t.Context(), name, force)
	return err
}

// problem returns the problem of a gateway with a code, if there is one.
func problem(g *gateway, code string) (plan.Problem, bool) {
	all := g.agent.Status().Problems
	i := slices.IndexFunc(all, func(p plan.Problem) bool { return p.Code == code })
	if i < 0 {
		return plan.Problem{}, false
	}
	return all[i], true
}

func TestUnreachableDatacenterIsRemovedAndReplaced(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west, north := sim.datacenter("east", 1), sim.datacenter("west", 2), sim.datacenter("north", 3)
		federate(t, east, west, north)
		_, _, err := west.register(t.Context(), service("web", west.pod()))
		require.NoError(t, err)
		await(t, "north has the service web", func() bool { return hasService(north, "web") })
		west.crash()
		sim.setIsolated("west", true)
		time.Sleep(longTime)
		leader(t, east, north)
		await(t, "west is removed", func() bool { return north.remove("west", false) == nil })
		for _, g := range []*gateway{east, north} {
			await(t, g.name()+" has removed west and its service", func() bool {
				st := g.agent.Status()
				return len(st.Datacenters) == 2 && st.Catalog.Voters == 1 && !hasService(g, "web")
			})
		}

		replacement := sim.datacenter("new", 4, func(c *config.Config) {
			c.Datacenter, c.Prefixes = "west", west.cfg.Prefixes
		})
		token := east.createToken(t)
		var refusal *catalog.Refusal
		require.ErrorAs(t, replacement.join(token), &refusal)
		assert.Equal(t, trust.CodePinDiffers, refusal.Code, "another CA under a name that east remembers")
		for _, g := range []*gateway{east, north} {
			g.acceptCA(replacement)
		}
		require.NoError(t, replacement.join(token), "the name and the prefixes are unused")
		await(t, "all datacenters reach each other", func() bool {
			return east.reachable() == 3 && north.reachable() == 3 && replacement.reachable() == 3
		})
		before := east.kernel.String()
		sim.setIsolated("west", false)
		west.start()
		await(t, "the old gateway reports that it was removed", func() bool { _, found := problem(west, "removed"); return found })
		time.Sleep(longTime)
		assert.Equal(t, before, east.kernel.String(), "the old gateway changes nothing in the federation")
		assert.Equal(t, 3, replacement.reachable())
		assert.Empty(t, problemCodes(east.agent.Status()))
		removed, _ := problem(west, "removed")
		assert.Contains(t, removed.Remedy, "meshctl leave --force")
		assert.NotContains(t, problemCodes(west.agent.Status()), "no-leader", "a remedy that restores the quorum does not apply")
	})
}

func TestRemovedDatacenterLeavesAndJoinsAgain(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west, north := sim.datacenter("east", 1), sim.datacenter("west", 2), sim.datacenter("north", 3)
		federate(t, east, west, north)
		sim.setIsolated("north", true)
		time.Sleep(2 * time.Minute)
		leader(t, east, west)
		await(t, "north is removed", func() bool { return east.remove("north", false) == nil })
		assert.NotContains(t, problemCodes(north.agent.Status()), "removed", "the isolated gateway has no information")
		sim.setIsolated("north", false)
		await(t, "north reports that it was removed", func() bool { _, found := problem(north, "removed"); return found })
		assert.Len(t, north.agent.Status().Datacenters, 3, "the data plane is not removed automatically")
		require.NoError(t, north.leave(true))
		await(t, "north is standalone", func() bool { return north.agent.Status().State == status.Standalone })
		assert.NotContains(t, problemCodes(north.agent.Status()), "removed")
		require.NoError(t, north.join(west.createToken(t)))
		await(t, "north and east reach all datacenters", func() bool { return north.reachable() == 3 && east.reachable() == 3 })
	})
}

func TestDatacenterWithoutLeaderIsNotReportedAsRemoved(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west, north := sim.datacenter("east", 1), sim.datacenter("west", 2), sim.datacenter("north", 3)
		federate(t, east, west, north)
		_, others := leader(t, east, west, north)
		for _, g := range others {
			g.crash()
		}
		time.Sleep(longTime)
		others[0].start()
		await(t, "there is a leader again", func() bool { return others[0].agent.Status().Catalog.Leader != "" })
		for _, g := range []*gateway{east, west, north} {
			_, found := problem(g, "removed")
			assert.False(t, found, g.name())
		}
	})
}

func TestOutdatedCatalogDoesNotReportADatacenterAsRemoved(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west, north := sim.datacenter("east", 1), sim.datacenter("west", 2), sim.datacenter("north", 3)
		federate(t, east, west)
		sim.setIsolated("west", true)
		require.NoError(t, north.join(east.createToken(t)))
		east.crash()
		sim.setCut("west", "north", false)
		time.Sleep(longTime) // the catalog of west lacks north, and north has no leader
		assert.Len(t, west.agent.Status().Datacenters, 2)
		assert.Contains(t, problemCodes(north.agent.Status()), "no-leader")
		assert.NotContains(t, problemCodes(north.agent.Status()), "removed")
	})
}

func TestRemovingADatacenterIsRefusedWithARemedy(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west, north := sim.datacenter("east", 1), sim.datacenter("west", 2), sim.datacenter("north", 3)
		federate(t, east, west, north)
		lead, others := leader(t, east, west, north)
		time.Sleep(longTime)
		for name, c := range map[string]struct {
			dc           string
			force        bool
			code, remedy string
		}{
			"its own datacenter":           {others[0].name(), true, catalog.CodeOwnDatacenter, "meshctl leave"},
			"a misspelt name":              {others[1].name() + "x", false, catalog.CodeUnknownDatacenter, "did you mean " + others[1].name() + "?"},
			"an active datacenter":         {others[1].name(), false, consensus.CodeDatacenterActive, "--force"},
			"the datacenter of the leader": {lead.name(), true, consensus.CodeDatacenterLeads, "transfer-leader"},
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

func TestRemovalWithoutQuorumNamesTheRecoveryCommand(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west := sim.datacenter("east", 1), sim.datacenter("west", 2)
		federate(t, east, west)
		east.crash() // the only voter
		time.Sleep(longTime)
		err := west.remove("east", true)
		require.ErrorContains(t, err, "meshctl raft recover")
	})
}

func TestVoterThatIsRemovedAfterARecoveryReportsItsRemoval(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west := sim.datacenter("east", 1), sim.datacenter("west", 2)
		federate(t, east, west)
		await(t, "west has the whole catalog", func() bool { return settled(t, east, west) })
		sim.setIsolated("east", true) // the only voter stays the leader
		west.stop()
		west.recover(t, "west/gw")
		west.start()
		leader(t, west)
		time.Sleep(2 * time.Minute)
		require.NoError(t, west.remove("east", false))
		sim.setIsolated("east", false)
		await(t, "east reports that it was removed", func() bool { _, found := problem(east, "removed"); return found })
		for range 60 {
			time.Sleep(10 * time.Second)
			_, found := problem(east, "removed")
			assert.True(t, found, "the problem is reported permanently")
		}
		assert.Equal(t, "leader", east.agent.Status().Catalog.Role, "east is the leader of its own outdated catalog")
		assert.Len(t, west.agent.Status().Datacenters, 1)
	})
}

// settled reports whether all have the same catalog, in which all records are signed: no
// change of them is under way.
func settled(t *testing.T, gateways ...*gateway) bool {
	t.Helper()
	var indexes []uint64
	for _, g := range gateways {
		m, err := g.agent.Member()
		require.NoError(t, err)
		view := m.View()
		indexes = append(indexes, view.Index())
		for _, dc := range view.Datacenters() {
			if dc.Signature.Version == 0 {
				return false
			}
		}
	}
	return len(slices.Compact(indexes)) == 1
}

// recover replaces the voters of the stopped gateway's catalog.
func (g *gateway) recover(t *testing.T, voters ...catalog.GatewayID) {
	t.Helper()
	store, err := identity.Open(g.cfg.DataDir)
	require.NoError(t, err)
	defer store.Close()
	_, err = raftnode.Recover(raftnode.Recovery{
		Dir: store.RaftDir(), ID: catalog.NewGatewayID(g.cfg.Datacenter, g.cfg.Gateway), Voters: voters, Now: time.Now(),
	})
	require.NoError(t, err)
}

package sim

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
)

// pair is a federation of the datacenter east, with the gateways a and b, and the
// datacenter west.
type pair struct {
	*simulation
	shared     *secret
	a, b, west *gateway
}

// newPair initializes the federation on a, joins west, starts b, and waits until it
// is a member.
func newPair(t *testing.T, sim *simulation) *pair {
	t.Helper()
	p := &pair{simulation: sim, shared: newSecret("a", "b")}
	p.a, p.west = sim.gateway("east", 1, "a", 1, p.shared), sim.datacenter("west", 2)
	federate(t, p.a, p.west)
	p.b = sim.gateway("east", 1, "b", 11, p.shared)
	p.awaitGateways(t, "a,b", p.a, p.b, p.west)
	await(t, "all three gateways are voters", func() bool { return p.a.agent.Status().Catalog.Voters == 3 })
	return p
}

// eastGateways returns the names of east's gateways in the status of g, sorted and
// separated by commas.
func eastGateways(g *gateway) string {
	var names []string
	for _, dc := range g.agent.Status().Datacenters {
		for _, other := range dc.Gateways {
			if dc.Name == "east" {
				names = append(names, other.Name)
			}
		}
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

func (p *pair) awaitGateways(t *testing.T, want string, sites ...*gateway) {
	t.Helper()
	for _, g := range sites {
		await(t, g.name()+" reports the gateways "+want+" of east", func() bool { return eastGateways(g) == want })
	}
}

// requireServiceReplicated registers a service on a gateway and waits until another
// one has it.
func requireServiceReplicated(t *testing.T, from, to *gateway, name string) {
	t.Helper()
	_, queued, err := from.register(t.Context(), service(name, from.pod()))
	require.NoError(t, err)
	assert.False(t, queued)
	await(t, to.name()+" has the service "+name, func() bool { return hasService(to, name) })
}

func TestSecondGatewayBecomesAMemberAutomatically(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := newPair(t, sim)
		self := p.b.agent.Status().Self
		assert.Equal(t, "east/b", self.ID)
		assert.Equal(t, status.Member, p.b.agent.Status().State)
		requireServiceReplicated(t, p.b, p.west, "of-b")
		for _, g := range []*gateway{p.a, p.b} {
			await(t, g.name()+" reports that both gateways are up", func() bool {
				return !slices.ContainsFunc(g.agent.Status().Datacenters[0].Gateways, func(other status.Gateway) bool { return !other.Up })
			})
		}
		await(t, "the shared state has all three contacts", func() bool {
			shared, _ := p.shared.Current()
			return len(shared.Membership.Contacts) == 3
		})
		writes := p.shared.writes()
		time.Sleep(longTime)
		assert.Equal(t, writes, p.shared.writes(), "there are no writes when nothing changes")
	})
}

func TestRefusalOfInitAndJoinNamesTheGatewaysOfTheMember(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := newPair(t, sim)
		p.west.stop()
		p.a.stop()
		p.b.stop()
		c := sim.gateway("east", 1, "c", 12, p.shared) // no running gateway can admit it
		_, err := c.agent.Init(t.Context(), member.InitOptions{Name: "other"})
		for _, err := range []error{err, c.join("mesh1-nonsense")} {
			var refusal *catalog.Refusal
			require.ErrorAs(t, err, &refusal)
			assert.Equal(t, "already-a-member", refusal.Code)
			assert.Contains(t, refusal.Message, "through gateway a, b")
		}
		c.awaitProblem(t, "enrolment-failed")
		p.west.start()
		p.a.start()
		p.shared.setGateways("a", "b", "c")
		p.awaitGateways(t, "a,b,c", c, p.a, p.west)
		await(t, "c reports no problem", func() bool { return len(c.agent.Status().Problems) == 0 })
	})
}

func TestOneOfTwoConcurrentInitsIsRefused(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		shared := newSecret("a", "b")
		a, b := sim.gateway("east", 1, "a", 1, shared), sim.gateway("east", 1, "b", 11, shared)
		synctest.Wait()
		results := make(chan error, 2)
		for _, g := range []*gateway{a, b} {
			go func() {
				_, err := g.agent.Init(t.Context(), member.InitOptions{Name: g.name()})
				results <- err
			}()
		}
		errs := []error{<-results, <-results}
		slices.SortFunc(errs, func(x, y error) int {
			if x == nil {
				return -1
			}
			return 1
		})
		require.NoError(t, errs[0])
		var refusal *catalog.Refusal
		require.ErrorAs(t, errs[1], &refusal)
		assert.Contains(t, []string{"being-founded", "already-a-member"}, refusal.Code)
		p := &pair{simulation: sim}
		p.awaitGateways(t, "a,b", a, b)
		assert.Equal(t, a.agent.Status().Federation, b.agent.Status().Federation)
	})
}

func TestFailedJoinDoesNotBlockTheInitOfASibling(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		shared := newSecret("a", "b")
		a, b := sim.gateway("east", 1, "a", 1, shared), sim.gateway("east", 1, "b", 11, shared)
		require.Error(t, a.join("mesh1-nonsense"))
		_, err := b.agent.Init(t.Context(), member.InitOptions{Name: "prod"})
		require.NoError(t, err)
		(&pair{simulation: sim}).awaitGateways(t, "a,b", a, b)
	})
}

func TestDatacenterMayChangeItsNameAfterAFailedJoin(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		shared := newSecret("a")
		east := sim.gateway("east", 1, "a", 1, shared)
		require.Error(t, east.join("mesh1-nonsense"))
		east.stop()
		north := sim.gateway("north", 3, "a", 3, shared)
		_, err := north.agent.Init(t.Context(), member.InitOptions{Name: "prod"})
		require.NoError(t, err)
	})
}

func TestLeaveOnOneGatewayAppliesToAllGateways(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := newPair(t, sim)
		require.NoError(t, p.b.leave(false))
		for _, g := range []*gateway{p.a, p.b} {
			await(t, g.name()+" is standalone", func() bool { return g.agent.Status().State == status.Standalone })
			assert.Empty(t, g.observedTunnels(), "the data plane of %s is removed", g.name())
			_, member, err := g.storedMembership()
			require.NoError(t, err)
			assert.False(t, member)
		}
		await(t, "west is the only datacenter", func() bool { return len(p.west.agent.Status().Datacenters) == 1 })
		time.Sleep(longTime)
		assert.Equal(t, status.Standalone, p.a.agent.Status().State, "a gateway that has left does not join again automatically")

		require.NoError(t, p.a.join(p.west.createToken(t)))
		p.awaitGateways(t, "a,b", p.a, p.b, p.west)
	})
}

func TestOneOfTwoConcurrentLeavesSucceeds(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := newPair(t, sim)
		results := make(chan error, 2)
		for _, g := range []*gateway{p.a, p.b} {
			go func() { results <- g.leave(false) }()
		}
		errs := []error{<-results, <-results}
		assert.Contains(t, errs, nil)
		for _, g := range []*gateway{p.a, p.b} {
			await(t, g.name()+" is standalone", func() bool { return g.agent.Status().State == status.Standalone })
		}
		await(t, "west is the leader", func() bool { return p.west.agent.Status().Catalog.Role == "leader" })
	})
}

func TestLeaveFailsWithoutChangesWhileTheAPIServerIsUnavailable(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := newPair(t, sim)
		p.shared.setUnavailable(true)
		require.ErrorContains(t, p.b.leave(false), "nothing was changed")
		assert.Equal(t, "a,b", eastGateways(p.west))
		p.shared.setUnavailable(false)
		require.NoError(t, p.b.leave(false))
		await(t, "a has left, too", func() bool { return p.a.agent.Status().State == status.Standalone })
	})
}

func TestSiblingAcceptsWritesAfterTheLeaderCrashed(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := newPair(t, sim)
		member, err := p.west.agent.Member()
		require.NoError(t, err)
		require.NoError(t, member.TransferLeader(t.Context(), "east/a"))
		await(t, "a is the leader", func() bool { return p.a.agent.Status().Catalog.Role == "leader" })
		p.a.crash()
		requireServiceReplicated(t, p.b, p.west, "after")
		time.Sleep(longTime)
		p.awaitGateways(t, "a,b", p.b, p.west) // the host still has the label
		p.a.start()
		await(t, "a has the service", func() bool { return hasService(p.a, "after") })
	})
}

func TestGatewayOfARemovedHostIsRemoved(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := newPair(t, sim)
		p.a.crash()
		p.shared.setGateways("b")
		time.Sleep(50 * time.Second)
		assert.Equal(t, "a,b", eastGateways(p.west), "the gateway is not removed before its grace period")
		p.awaitGateways(t, "b", p.b, p.west)
		await(t, "the removed gateway is no voter", func() bool {
			s := p.b.agent.Status().Catalog
			return s.Voters == 1 && s.Leader != ""
		})

		// The host returns with a stored membership that has ended.
		p.shared.setGateways("a", "b")
		p.a.start()
		p.awaitGateways(t, "a,b", p.a, p.b, p.west)
		requireServiceReplicated(t, p.a, p.west, "back")
	})
}

func TestNoGatewayIsRemovedWhileTheAPIServerIsUnavailable(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := newPair(t, sim)
		p.shared.setGateways("b")
		p.shared.setUnavailable(true)
		time.Sleep(longTime)
		assert.Equal(t, "a,b", eastGateways(p.west))
		p.shared.setGateways("a", "b")
		p.shared.setUnavailable(false)
		time.Sleep(longTime)
		assert.Equal(t, "a,b", eastGateways(p.west))
	})
}

func TestGatewayIsDemotedWithoutItsLabelAndReturnsWithIt(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := newPair(t, sim)
		member, err := p.west.agent.Member()
		require.NoError(t, err)
		require.NoError(t, member.TransferLeader(t.Context(), "east/b"))
		await(t, "b is the leader", func() bool { return p.b.agent.Status().Catalog.Role == "leader" })

		p.shared.setGateways("a")
		require.NoError(t, p.b.agent.Demote(t.Context()))
		p.awaitGateways(t, "a", p.a, p.west)
		assert.NotEmpty(t, p.b.observedTunnels(), "the tunnels stay until the agent of a node replaces them")
		requireServiceReplicated(t, p.a, p.west, "without-b")
		p.b.stop()
		_, member2, err := p.b.storedMembership()
		require.NoError(t, err)
		assert.False(t, member2)

		p.shared.setGateways("a", "b")
		p.b.start()
		p.awaitGateways(t, "a,b", p.a, p.b, p.west)
	})
}

func TestLastGatewayKeepsItsMembershipWithoutItsLabel(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		shared := newSecret("a")
		a, west := sim.gateway("east", 1, "a", 1, shared), sim.datacenter("west", 2)
		federate(t, a, west)
		shared.setGateways()
		require.NoError(t, a.agent.Demote(t.Context()))
		a.stop()
		shared.setGateways("a")
		a.start()
		await(t, "a reaches west and has a leader", func() bool { return a.reachable() == 2 && a.agent.Status().Catalog.Leader != "" })
	})
}

func TestNewHostReplacesTheOnlyGateway(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		shared := newSecret("a")
		a, west, north := sim.gateway("east", 1, "a", 1, shared), sim.datacenter("west", 2), sim.datacenter("north", 3)
		federate(t, west, a, north)
		await(t, "the shared state has all three contacts", func() bool { c, _ := shared.Current(); return c.Membership != nil && len(c.Membership.Contacts) == 3 })
		a.crash()
		shared.setGateways("b")
		b := sim.gateway("east", 1, "b", 11, shared)
		p := &pair{simulation: sim}
		p.awaitGateways(t, "b", b, west, north)
		await(t, "b reaches all datacenters", func() bool { return b.reachable() == 3 })
	})
}

func TestGatewayWithANewDiskKeepsItsOverlayAddress(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := newPair(t, sim)
		before := p.b.agent.Status().Self.Overlay
		p.b.crash()
		p.b.cfg.DataDir = consensustest.TempDir(t)
		fresh := newGateway(sim, "east-b-again", p.b.cfg, underlayOf(12))
		fresh.siblings = p.shared
		sim.add(fresh)
		await(t, "the gateway has its overlay address again", func() bool { return fresh.agent.Status().Self.Overlay == before })
		await(t, "all three gateways are healthy voters", func() bool { return p.a.agent.Status().Catalog.HealthyVoters == 3 })
		requireServiceReplicated(t, fresh, p.west, "new-disk")
	})
}

func TestExistingMembershipIsWrittenToTheSecret(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		a, west := sim.gateway("east", 1, "a", 1, nil), sim.datacenter("west", 2)
		federate(t, a, west)
		a.stop()
		a.siblings = newSecret("a", "b")
		a.start()
		b := sim.gateway("east", 1, "b", 11, a.siblings)
		(&pair{simulation: sim}).awaitGateways(t, "a,b", a, b, west)
	})
}

func TestTrafficContinuesWithoutTheAPIServerAndStatusReportsIt(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := newPair(t, sim)
		p.shared.setUnavailable(true)
		p.b.stop()
		p.b.cfg.Control.Advertise = []string{"203.0.113.11:7443", "b.example:7443"}
		p.b.start() // its new addresses change the shared state
		p.a.awaitProblem(t, "siblings-unknown")
		assert.Equal(t, 2, p.a.reachable())
		p.shared.setUnavailable(false)
		await(t, "a reports no problem", func() bool { return len(p.a.agent.Status().Problems) == 0 })
	})
}

func TestGatewaysInDifferentFederationsAreReported(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := newPair(t, sim)
		shared, err := p.shared.Current()
		require.NoError(t, err)
		other := *shared.Membership
		other.FederationID = "123e4567-e89b-12d3-a456-426614174000"
		shared.Membership = &other
		require.NoError(t, p.shared.Save(t.Context(), shared))
		p.a.awaitProblem(t, "siblings-differ")
		assert.Equal(t, status.Member, p.a.agent.Status().State, "the gateway keeps its membership")
	})
}

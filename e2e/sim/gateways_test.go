package sim

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/membership"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
)

// pair is a datacenter with two gateways, a and b, in a federation with another
// datacenter, west.
type pair struct {
	*world
	shared     *secret
	a, b, west *site
}

// newPair founds the federation through a; b becomes a member by itself.
func newPair(t *testing.T, w *world) *pair {
	t.Helper()
	p := &pair{world: w, shared: newSecret("a", "b")}
	p.a, p.west = w.gateway("east", 1, "a", 1, p.shared), w.site("west", 2)
	federate(t, p.a, p.west)
	p.b = w.gateway("east", 1, "b", 11, p.shared)
	p.requireGateways(t, "a,b", p.a, p.b, p.west)
	await(t, "three votes", func() bool { return p.a.agent.Status().Catalog.Voters == 3 })
	return p
}

// gatewaysOf lists the gateways of east that a site knows.
func gatewaysOf(s *site) string {
	var names []string
	for _, dc := range s.agent.Status().Datacenters {
		for _, g := range dc.Gateways {
			if dc.Name == "east" {
				names = append(names, g.Name)
			}
		}
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

func (p *pair) requireGateways(t *testing.T, want string, sites ...*site) {
	t.Helper()
	for _, s := range sites {
		await(t, s.name()+" knows the gateways "+want+" of east", func() bool { return gatewaysOf(s) == want })
	}
}

// requireService holds that what one site registers is seen by another.
func requireService(t *testing.T, from, to *site, name string) {
	t.Helper()
	_, queued, err := from.register(t.Context(), service(name, from.pod()))
	require.NoError(t, err)
	assert.False(t, queued)
	await(t, to.name()+" sees "+name, func() bool { return sees(to, name) })
}

func TestAFurtherGatewayBecomesAMemberByItself(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		p := newPair(t, w)
		self := p.b.agent.Status().Self
		assert.Equal(t, "east/b", self.ID)
		assert.Equal(t, status.Member, p.b.agent.Status().State)
		requireService(t, p.b, p.west, "of-b")
		for _, s := range []*site{p.a, p.b} {
			await(t, s.name()+" sees both up", func() bool {
				return !slices.ContainsFunc(s.agent.Status().Datacenters[0].Gateways, func(g status.Gateway) bool { return !g.Up })
			})
		}
		await(t, "the contacts are all three", func() bool {
			common, _ := p.shared.Current()
			return len(common.Membership.Contacts) == 3
		})
		writes := p.shared.writes()
		time.Sleep(10 * time.Minute)
		assert.Equal(t, writes, p.shared.writes(), "both write the same, hence nothing")
	})
}

func TestInitAndJoinSayThroughWhomTheDatacenterIsAMember(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		p := newPair(t, w)
		p.west.stop()
		p.a.stop()
		p.b.stop()
		c := w.gateway("east", 1, "c", 12, p.shared) // it finds nobody who could take it in
		_, err := c.agent.Init(t.Context(), membership.InitOptions{Name: "other"})
		for _, err := range []error{err, c.join("mesh1-nonsense")} {
			var refusal *catalog.Refusal
			require.ErrorAs(t, err, &refusal)
			assert.Equal(t, "already-a-member", refusal.Code)
			assert.Contains(t, refusal.Message, "through gateway a, b")
		}
		c.requireProblem(t, "enrolment-failed")
		p.west.start()
		p.a.start()
		p.shared.label("a", "b", "c")
		p.requireGateways(t, "a,b,c", c, p.a, p.west)
		await(t, "nothing is wrong any more", func() bool { return len(c.agent.Status().Problems) == 0 })
	})
}

func TestOfTwoFoundersAtOnceExactlyOneWins(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		shared := newSecret("a", "b")
		a, b := w.gateway("east", 1, "a", 1, shared), w.gateway("east", 1, "b", 11, shared)
		synctest.Wait()
		results := make(chan error, 2)
		for _, s := range []*site{a, b} {
			go func() {
				_, err := s.agent.Init(t.Context(), membership.InitOptions{Name: s.name()})
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
		p := &pair{world: w}
		p.requireGateways(t, "a,b", a, b)
		assert.Equal(t, a.agent.Status().Federation, b.agent.Status().Federation)
	})
}

func TestARefusedInitLetsOthersGoOn(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		shared := newSecret("a", "b")
		a, b := w.gateway("east", 1, "a", 1, shared), w.gateway("east", 1, "b", 11, shared)
		require.Error(t, a.join("mesh1-nonsense"))
		_, err := b.agent.Init(t.Context(), membership.InitOptions{Name: "prod"})
		require.NoError(t, err)
		(&pair{world: w}).requireGateways(t, "a,b", a, b)
	})
}

func TestADatacenterWhoseNameWasRefusedMayTakeAnother(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		shared := newSecret("a")
		east := w.gateway("east", 1, "a", 1, shared)
		require.Error(t, east.join("mesh1-nonsense"))
		east.stop()
		north := w.gateway("north", 3, "a", 3, shared)
		_, err := north.agent.Init(t.Context(), membership.InitOptions{Name: "prod"})
		require.NoError(t, err)
	})
}

func TestLeavingOnOneGatewayIsLeavingOnAll(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		p := newPair(t, w)
		require.NoError(t, p.b.leave(false))
		for _, s := range []*site{p.a, p.b} {
			await(t, s.name()+" is in no federation", func() bool { return s.agent.Status().State == status.Standalone })
			assert.Empty(t, w.tunnelsOf(s), "the data plane of %s is removed", s.name())
			_, member, err := storedMembership(s)
			require.NoError(t, err)
			assert.False(t, member)
		}
		await(t, "west is alone", func() bool { return len(p.west.agent.Status().Datacenters) == 1 })
		time.Sleep(5 * time.Minute)
		assert.Equal(t, status.Standalone, p.a.agent.Status().State, "nobody comes back by himself")

		require.NoError(t, p.a.join(p.west.token(t)))
		p.requireGateways(t, "a,b", p.a, p.b, p.west)
	})
}

func TestLeavingOnBothAtOnceIsLeavingOnce(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		p := newPair(t, w)
		results := make(chan error, 2)
		for _, s := range []*site{p.a, p.b} {
			go func() { results <- s.leave(false) }()
		}
		errs := []error{<-results, <-results}
		assert.Contains(t, errs, nil)
		for _, s := range []*site{p.a, p.b} {
			await(t, s.name()+" is in no federation", func() bool { return s.agent.Status().State == status.Standalone })
		}
		await(t, "west leads", func() bool { return p.west.agent.Status().Catalog.Role == "leader" })
	})
}

func TestALeaveThatCannotBeSharedChangesNothing(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		p := newPair(t, w)
		p.shared.setAway(true)
		require.ErrorContains(t, p.b.leave(false), "nothing was changed")
		assert.Equal(t, "a,b", gatewaysOf(p.west))
		p.shared.setAway(false)
		require.NoError(t, p.b.leave(false))
		await(t, "a has left too", func() bool { return p.a.agent.Status().State == status.Standalone })
	})
}

func TestTheLeaderOfTwoGatewaysDiesAndWritesGoOn(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		p := newPair(t, w)
		member, err := p.west.agent.Member()
		require.NoError(t, err)
		require.NoError(t, member.TransferLeader(t.Context(), "east/a"))
		await(t, "a leads", func() bool { return p.a.agent.Status().Catalog.Role == "leader" })
		p.a.crash()
		requireService(t, p.b, p.west, "after")
		time.Sleep(5 * time.Minute)
		p.requireGateways(t, "a,b", p.b, p.west) // its host is still to be a gateway
		p.a.start()
		await(t, "a catches up", func() bool { return sees(p.a, "after") })
	})
}

func TestAGatewayWhoseHostIsGoneIsRemoved(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		p := newPair(t, w)
		p.a.crash()
		p.shared.label("b")
		time.Sleep(50 * time.Second)
		assert.Equal(t, "a,b", gatewaysOf(p.west), "not before its grace")
		p.requireGateways(t, "b", p.b, p.west)
		await(t, "its vote is gone", func() bool {
			s := p.b.agent.Status().Catalog
			return s.Voters == 1 && s.Leader != ""
		})

		// It comes back with the membership of before, which has ended.
		p.shared.label("a", "b")
		p.a.start()
		p.requireGateways(t, "a,b", p.a, p.b, p.west)
		requireService(t, p.a, p.west, "back")
	})
}

func TestNobodyIsRemovedWhileTheClusterIsNotSeen(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		p := newPair(t, w)
		p.shared.label("b")
		p.shared.setAway(true)
		time.Sleep(10 * time.Minute)
		assert.Equal(t, "a,b", gatewaysOf(p.west))
		p.shared.label("a", "b")
		p.shared.setAway(false)
		time.Sleep(10 * time.Minute)
		assert.Equal(t, "a,b", gatewaysOf(p.west))
	})
}

func TestAGatewayThatLosesItsLabelRetiresAndComesBack(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		p := newPair(t, w)
		member, err := p.west.agent.Member()
		require.NoError(t, err)
		require.NoError(t, member.TransferLeader(t.Context(), "east/b"))
		await(t, "b leads", func() bool { return p.b.agent.Status().Catalog.Role == "leader" })

		p.shared.label("a")
		require.NoError(t, p.b.agent.Demote(t.Context()))
		p.requireGateways(t, "a", p.a, p.west)
		assert.NotEmpty(t, w.tunnelsOf(p.b), "what is made stays for who comes after")
		requireService(t, p.a, p.west, "without-b")
		p.b.stop()
		_, member2, err := storedMembership(p.b)
		require.NoError(t, err)
		assert.False(t, member2)

		p.shared.label("a", "b")
		p.b.start()
		p.requireGateways(t, "a,b", p.a, p.b, p.west)
	})
}

func TestTheLastGatewayKeepsItsMembership(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		shared := newSecret("a")
		a, west := w.gateway("east", 1, "a", 1, shared), w.site("west", 2)
		federate(t, a, west)
		shared.label()
		require.NoError(t, a.agent.Demote(t.Context()))
		a.stop()
		shared.label("a")
		a.start()
		await(t, "a is back", func() bool { return a.reachable() == 2 && a.agent.Status().Catalog.Leader != "" })
	})
}

func TestANewHostReplacesTheOnlyGateway(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		shared := newSecret("a")
		a, west, north := w.gateway("east", 1, "a", 1, shared), w.site("west", 2), w.site("north", 3)
		federate(t, west, a, north)
		await(t, "the contacts are known", func() bool { c, _ := shared.Current(); return c.Membership != nil && len(c.Membership.Contacts) == 3 })
		a.crash()
		shared.label("b")
		b := w.gateway("east", 1, "b", 11, shared)
		p := &pair{world: w}
		p.requireGateways(t, "b", b, west, north)
		await(t, "b reaches all", func() bool { return b.reachable() == 3 })
	})
}

func TestAGatewayWithANewDiskKeepsItsPlace(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		p := newPair(t, w)
		before := p.b.agent.Status().Self.Overlay
		p.b.crash()
		p.b.cfg.DataDir = consensustest.TempDir(t)
		fresh := newSite(w, "east-b-again", p.b.cfg, underlayOf(12))
		fresh.siblings = p.shared
		w.add(fresh)
		await(t, "it is a member again", func() bool { return fresh.agent.Status().Self.Overlay == before })
		await(t, "with a vote", func() bool { return p.a.agent.Status().Catalog.HealthyVoters == 3 })
		requireService(t, fresh, p.west, "new-disk")
	})
}

func TestAMembershipOfBeforeFillsTheSecret(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		a, west := w.gateway("east", 1, "a", 1, nil), w.site("west", 2)
		federate(t, a, west)
		a.stop()
		a.siblings = newSecret("a", "b")
		a.start()
		b := w.gateway("east", 1, "b", 11, a.siblings)
		(&pair{world: w}).requireGateways(t, "a,b", a, b, west)
	})
}

func TestWithoutTheAPIServerTrafficGoesOnAndStatusSaysSo(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		p := newPair(t, w)
		p.shared.setAway(true)
		p.b.stop()
		p.b.cfg.Control.Advertise = []string{"203.0.113.11:7443", "b.example:7443"}
		p.b.start() // what the gateways have in common changes
		p.a.requireProblem(t, "siblings-unknown")
		assert.Equal(t, 2, p.a.reachable())
		p.shared.setAway(false)
		await(t, "nothing is wrong any more", func() bool { return len(p.a.agent.Status().Problems) == 0 })
	})
}

func TestGatewaysInDifferentFederationsAreReported(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		p := newPair(t, w)
		common, err := p.shared.Current()
		require.NoError(t, err)
		other := *common.Membership
		other.FederationID = "123e4567-e89b-12d3-a456-426614174000"
		common.Membership = &other
		require.NoError(t, p.shared.Save(t.Context(), common))
		p.a.requireProblem(t, "siblings-differ")
		assert.Equal(t, status.Member, p.a.agent.Status().State, "nothing is thrown away")
	})
}

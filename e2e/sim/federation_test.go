package sim

import (
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

func TestThreeDatacentersFederate(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west, north := sim.datacenter("east", 1), sim.datacenter("west", 2), sim.datacenter("north", 3)
		federate(t, east, west, north)

		_, queued, err := east.register(t.Context(), service("web", "10.11.0.10"))
		require.NoError(t, err)
		assert.False(t, queued)
		await(t, "north has the service web", func() bool { return hasService(north, "web") })

		report, err := west.agent.Routes(t.Context(), netip.Addr{})
		require.NoError(t, err)
		states := map[string]string{}
		for _, r := range report.Routes {
			states[r.Prefix.String()] = r.State
		}
		assert.Equal(t, "installed", states["10.11.0.0/16"])
		assert.Equal(t, "installed", states["10.23.0.0/16"])
		assert.Empty(t, problemCodes(west.agent.Status()))
	})
}

// joinConcurrently joins two gateways at the same time. It requires that one
// succeeds and that the other is refused.
func joinConcurrently(t *testing.T, a, b *gateway, tokenA, tokenB string) (joined, refused *gateway, refusal *catalog.Refusal) {
	t.Helper()
	var group sync.WaitGroup
	errs := map[*gateway]error{}
	var mu sync.Mutex
	for g, token := range map[*gateway]string{a: tokenA, b: tokenB} {
		group.Go(func() {
			err := g.join(token)
			mu.Lock()
			defer mu.Unlock()
			errs[g] = err
		})
	}
	group.Wait()
	joined, refused = a, b
	if errs[a] != nil {
		joined, refused = b, a
	}
	require.NoError(t, errs[joined])
	require.ErrorAs(t, errs[refused], &refusal)
	return joined, refused, refusal
}

func TestOneOfTwoConflictingJoinsIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		sameToken bool
		name      string // of the second datacenter
		change    func(*config.Config)
		code      string
	}{
		"same token":           {sameToken: true, name: "north", code: catalog.CodeTokenUsed},
		"overlapping prefixes": {name: "north", code: catalog.CodePrefixOverlap, change: overlapWest},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, sim *simulation) {
				east, west := sim.datacenter("east", 1), sim.datacenter("west", 2)
				var changes []func(*config.Config)
				if test.change != nil {
					changes = append(changes, test.change)
				}
				other := sim.datacenter(test.name, 3, changes...)
				federate(t, east)
				tokenA := east.createToken(t)
				tokenB := tokenA
				if !test.sameToken {
					tokenB = east.createToken(t)
				}
				joined, refused, refusal := joinConcurrently(t, west, other, tokenA, tokenB)
				assert.Equal(t, test.code, refusal.Code)
				assert.NotEmpty(t, refusal.Remedy)
				await(t, "the datacenter that joined reaches east", func() bool { return joined.reachable() == 2 })
				requireUnchanged(t, refused)
				assert.Len(t, east.agent.Status().Datacenters, 2)
			})
		})
	}
}

func TestOneOfTwoJoinsWithTheSameNameIsRefused(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west := sim.datacenter("east", 1), sim.datacenter("west", 2)
		federate(t, east)
		twin := sim.datacenter("twin", 3, func(c *config.Config) { c.Datacenter = "west" })
		_, refused, refusal := joinConcurrently(t, west, twin, east.createToken(t), east.createToken(t))
		assert.Equal(t, catalog.CodeNameTaken, refusal.Code)
		requireUnchanged(t, refused)
	})
}

func overlapWest(c *config.Config) {
	c.Prefixes[0].CIDR = netip.MustParsePrefix("10.12.128.0/17")
}

// requireUnchanged asserts that a refused join has not changed the gateway.
func requireUnchanged(t *testing.T, g *gateway) {
	t.Helper()
	await(t, g.name()+" is standalone", func() bool { return g.agent.Status().State == status.Standalone })
	_, member, err := g.storedMembership()
	require.NoError(t, err)
	assert.False(t, member)
	assert.Empty(t, g.observedTunnels())
	assert.Zero(t, g.filter.Writes())
}

func TestDatacenterJoinsAgainAfterLeaving(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west, north := sim.datacenter("east", 1), sim.datacenter("west", 2), sim.datacenter("north", 3)
		federate(t, east, west, north)
		require.NoError(t, west.leave(false))
		await(t, "west is removed from the status of east", func() bool { return len(east.agent.Status().Datacenters) == 2 })
		await(t, "west is standalone", func() bool { return west.agent.Status().State == status.Standalone })
		assert.Empty(t, west.observedTunnels())
		require.NoError(t, west.join(east.createToken(t)))
		await(t, "west reaches all datacenters", func() bool { return west.reachable() == 3 })
		await(t, "east and north reach all datacenters", func() bool { return east.reachable() == 3 && north.reachable() == 3 })
	})
}

func TestLeaderMayLeave(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west, north := sim.datacenter("east", 1), sim.datacenter("west", 2), sim.datacenter("north", 3)
		federate(t, east, west, north)
		lead, others := leader(t, east, west, north)
		require.NoError(t, lead.leave(false))
		await(t, "the other datacenters have a leader", func() bool {
			s := others[0].agent.Status()
			return s.Catalog.Leader != "" && len(s.Datacenters) == 2
		})
		_, queued, err := others[1].register(t.Context(), service("web", others[1].pod()))
		require.NoError(t, err)
		assert.False(t, queued)
	})
}

func TestOnlyVoterMayLeave(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west := sim.datacenter("east", 1), sim.datacenter("west", 2)
		federate(t, east, west)
		require.NoError(t, east.leave(false))
		await(t, "west is the leader", func() bool { return west.agent.Status().Catalog.Role == "leader" })
		require.NoError(t, east.join(west.createToken(t)))
	})
}

func TestLastDatacenterMayLeave(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east := sim.datacenter("east", 1)
		federate(t, east)
		require.NoError(t, east.leave(false))
		await(t, "east is standalone", func() bool { return east.agent.Status().State == status.Standalone })
		_, err := east.agent.Init(t.Context(), member.InitOptions{Name: "again"})
		require.NoError(t, err)
	})
}

// connectionsEnd is the time after which gateways close a connection without an answer
// (pings in agent/control).
const connectionsEnd = time.Minute

func TestNameStaysInUseAfterAForcedLeaveWithoutContact(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west := sim.datacenter("east", 1), sim.datacenter("west", 2)
		federate(t, east, west)
		sim.setIsolated("west", true)
		// What is sent in a connection that is still open arrives after the isolation.
		time.Sleep(connectionsEnd)
		require.NoError(t, west.leave(true), "with force, leave does not require contact with the federation")
		sim.setIsolated("west", false)
		err := west.join(east.createToken(t))
		var refusal *catalog.Refusal
		require.ErrorAs(t, err, &refusal, "the catalog still has the datacenter west")
		assert.Equal(t, catalog.CodeNameTaken, refusal.Code)
	})
}

func TestInitAndJoinOfAMemberAreRefused(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east := sim.datacenter("east", 1)
		federate(t, east)
		_, err := east.agent.Init(t.Context(), member.InitOptions{Name: "other"})
		var refusal *catalog.Refusal
		require.ErrorAs(t, err, &refusal)
		assert.Equal(t, "already-a-member", refusal.Code)
		require.ErrorAs(t, east.join(east.createToken(t)), &refusal)
		assert.Equal(t, "already-a-member", refusal.Code)
	})
}

func TestInvalidTokensAreRefusedAndChangeNothing(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west := sim.datacenter("east", 1), sim.datacenter("west", 2)
		federate(t, east)
		foreign := sim.datacenter("foreign", 4)
		federate(t, foreign)
		used := east.createToken(t)
		north := sim.datacenter("north", 3)
		require.NoError(t, north.join(used))
		revoked := east.createToken(t)
		member, err := east.agent.Member()
		require.NoError(t, err)
		tokens := member.View().Tokens()
		for _, tok := range tokens {
			if tok.UsedBy == "" {
				_, err = member.Propose(t.Context(), catalog.NewRevokeToken(tok.ID))
				require.NoError(t, err)
			}
		}
		for name, token := range map[string]string{
			"malformed": "mesh1.nonsense",
			"truncated": used[:len(used)-7],
			"used":      used,
			"revoked":   revoked,
			"empty":     "",
		} {
			err := west.join(token)
			require.Error(t, err, name)
			requireUnchanged(t, west)
		}
		expired := east.createTokenFor(t, time.Minute)
		time.Sleep(2 * time.Minute)
		require.ErrorContains(t, west.join(expired), "expired")
		requireUnchanged(t, west)
	})
}

func TestJoinReturnsTheRefusalOfTheFederation(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west := sim.datacenter("east", 1), sim.datacenter("west", 2, func(c *config.Config) {
			c.Prefixes[0].CIDR = netip.MustParsePrefix("10.11.0.0/24") // part of east's prefix
		})
		federate(t, east)
		var refusal *catalog.Refusal
		require.ErrorAs(t, west.join(east.createToken(t)), &refusal)
		assert.Equal(t, catalog.CodePrefixOverlap, refusal.Code)
		assert.Contains(t, refusal.Message, "east")
		assert.False(t, errors.Is(refusal, consensus.ErrNoLeader))
	})
}

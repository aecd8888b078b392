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
	"github.com/meshway/meshway/agent/membership"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

func TestThreeDatacentersFederate(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west, north := w.site("east", 1), w.site("west", 2), w.site("north", 3)
		federate(t, east, west, north)

		_, queued, err := east.register(t.Context(), service("web", "10.11.0.10"))
		require.NoError(t, err)
		assert.False(t, queued)
		await(t, "north sees web", func() bool { return sees(north, "web") })

		report, err := west.agent.Routes(t.Context(), netip.Addr{})
		require.NoError(t, err)
		states := map[string]string{}
		for _, r := range report.Routes {
			states[r.Prefix.String()] = r.State
		}
		assert.Equal(t, "installed", states["10.11.0.0/16"])
		assert.Equal(t, "installed", states["10.23.0.0/16"])
		assert.Empty(t, problems(west.agent.Status()))
	})
}

// race joins two sites at the same moment and returns who won.
func race(t *testing.T, a, b *site, tokenA, tokenB string) (winner, loser *site, refusal *catalog.Refusal) {
	t.Helper()
	var group sync.WaitGroup
	errs := map[*site]error{}
	var mu sync.Mutex
	for s, token := range map[*site]string{a: tokenA, b: tokenB} {
		group.Go(func() {
			err := s.join(token)
			mu.Lock()
			defer mu.Unlock()
			errs[s] = err
		})
	}
	group.Wait()
	winner, loser = a, b
	if errs[a] != nil {
		winner, loser = b, a
	}
	require.NoError(t, errs[winner])
	require.ErrorAs(t, errs[loser], &refusal)
	return winner, loser, refusal
}

func TestOfTwoThatJoinAtOnceExactlyOneWins(t *testing.T) {
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
			simulate(t, func(t *testing.T, w *world) {
				east, west := w.site("east", 1), w.site("west", 2)
				var changes []func(*config.Config)
				if test.change != nil {
					changes = append(changes, test.change)
				}
				other := w.site(test.name, 3, changes...)
				federate(t, east)
				tokenA := east.token(t)
				tokenB := tokenA
				if !test.sameToken {
					tokenB = east.token(t)
				}
				winner, loser, refusal := race(t, west, other, tokenA, tokenB)
				assert.Equal(t, test.code, refusal.Code)
				assert.NotEmpty(t, refusal.Remedy)
				await(t, "the winner sees east", func() bool { return winner.reachable() == 2 })
				assertUntouched(t, loser)
				assert.Len(t, east.agent.Status().Datacenters, 2)
			})
		})
	}
}

func TestOfTwoWithTheSameNameExactlyOneWins(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west := w.site("east", 1), w.site("west", 2)
		federate(t, east)
		twin := w.site("twin", 3, func(c *config.Config) { c.Datacenter = "west" })
		_, loser, refusal := race(t, west, twin, east.token(t), east.token(t))
		assert.Equal(t, catalog.CodeNameTaken, refusal.Code)
		assertUntouched(t, loser)
	})
}

func overlapWest(c *config.Config) {
	c.Prefixes[0].CIDR = netip.MustParsePrefix("10.12.128.0/17")
}

// assertUntouched says that a refused join left nothing behind.
func assertUntouched(t *testing.T, s *site) {
	t.Helper()
	await(t, "standalone again", func() bool { return s.agent.Status().State == status.Standalone })
	_, member, err := storedMembership(s)
	require.NoError(t, err)
	assert.False(t, member)
	assert.Empty(t, s.world.tunnelsOf(s))
	assert.Zero(t, s.filter.Writes())
}

func TestJoinAgainAfterLeaving(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west, north := w.site("east", 1), w.site("west", 2), w.site("north", 3)
		federate(t, east, west, north)
		require.NoError(t, west.leave(false))
		await(t, "east forgets west", func() bool { return len(east.agent.Status().Datacenters) == 2 })
		await(t, "west is alone", func() bool { return west.agent.Status().State == status.Standalone })
		assert.Empty(t, w.tunnelsOf(west))
		require.NoError(t, west.join(east.token(t)))
		await(t, "west sees all", func() bool { return west.reachable() == 3 })
		await(t, "all see west", func() bool { return east.reachable() == 3 && north.reachable() == 3 })
	})
}

func TestTheLeaderMayLeave(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west, north := w.site("east", 1), w.site("west", 2), w.site("north", 3)
		federate(t, east, west, north)
		lead, others := leader(t, east, west, north)
		require.NoError(t, lead.leave(false))
		await(t, "the others have a leader", func() bool {
			s := others[0].agent.Status()
			return s.Catalog.Leader != "" && len(s.Datacenters) == 2
		})
		_, queued, err := others[1].register(t.Context(), service("web", others[1].pod()))
		require.NoError(t, err)
		assert.False(t, queued)
	})
}

func TestTheOnlyVoterMayLeave(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west := w.site("east", 1), w.site("west", 2)
		federate(t, east, west)
		require.NoError(t, east.leave(false))
		await(t, "west leads", func() bool { return west.agent.Status().Catalog.Role == "leader" })
		require.NoError(t, east.join(west.token(t)))
	})
}

func TestTheLastOneMayLeave(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east := w.site("east", 1)
		federate(t, east)
		require.NoError(t, east.leave(false))
		await(t, "east is alone", func() bool { return east.agent.Status().State == status.Standalone })
		_, err := east.agent.Init(t.Context(), membership.InitOptions{Name: "again"})
		require.NoError(t, err)
	})
}

func TestTrustEndsWithTheMembership(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west := w.site("east", 1), w.site("west", 2)
		federate(t, east, west)
		w.isolate("west", true)
		require.NoError(t, west.leave(true), "with force a site may leave without telling")
		w.isolate("west", false)
		err := west.join(east.token(t))
		var refusal *catalog.Refusal
		require.ErrorAs(t, err, &refusal, "the catalog still has a west: its name is taken")
		assert.Equal(t, catalog.CodeNameTaken, refusal.Code)
	})
}

func TestASecondInitIsRefused(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east := w.site("east", 1)
		federate(t, east)
		_, err := east.agent.Init(t.Context(), membership.InitOptions{Name: "other"})
		var refusal *catalog.Refusal
		require.ErrorAs(t, err, &refusal)
		assert.Equal(t, "already-a-member", refusal.Code)
		require.ErrorAs(t, east.join(east.token(t)), &refusal)
		assert.Equal(t, "already-a-member", refusal.Code)
	})
}

func TestBadTokensAreRefusedAndChangeNothing(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west := w.site("east", 1), w.site("west", 2)
		federate(t, east)
		foreign := w.site("foreign", 4)
		federate(t, foreign)
		used := east.token(t)
		north := w.site("north", 3)
		require.NoError(t, north.join(used))
		revoked := east.token(t)
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
			"malformed": "mesh1.nonsense", "truncated": used[:len(used)-7], "used": used, "revoked": revoked, "empty": "",
		} {
			err := west.join(token)
			require.Error(t, err, name)
			assertUntouched(t, west)
		}
		expired := east.tokenFor(t, time.Minute)
		time.Sleep(2 * time.Minute)
		require.ErrorContains(t, west.join(expired), "expired")
		assertUntouched(t, west)
	})
}

func TestRefusalsReachTheCallerAsTheyAre(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west := w.site("east", 1), w.site("west", 2, func(c *config.Config) {
			c.Prefixes[0].CIDR = netip.MustParsePrefix("10.11.0.0/24") // inside of east's
		})
		federate(t, east)
		var refusal *catalog.Refusal
		require.ErrorAs(t, west.join(east.token(t)), &refusal)
		assert.Equal(t, catalog.CodePrefixOverlap, refusal.Code)
		assert.Contains(t, refusal.Message, "east")
		assert.False(t, errors.Is(refusal, consensus.ErrNoLeader))
	})
}

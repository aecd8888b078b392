package sim

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/plan"
)

// tokenStore simulates the file of a configured token and counts its reads.
type tokenStore struct {
	text  atomic.Value // string; unset: the file does not exist
	reads atomic.Int32
}

func (s *tokenStore) token() (string, error) {
	s.reads.Add(1)
	if text, ok := s.text.Load().(string); ok {
		return text, nil
	}
	return "", errors.New("open /run/secrets/meshway/token: no such file or directory")
}

// restartWithToken restarts the agent with a configured token.
func (g *gateway) restartWithToken(store *tokenStore) {
	g.stop()
	g.token = store.token
	g.start()
}

func (g *gateway) awaitProblem(t *testing.T, code string) {
	t.Helper()
	await(t, g.name()+" reports "+code, func() bool {
		return slices.ContainsFunc(g.agent.Status().Problems, func(p plan.Problem) bool { return p.Code == code })
	})
}

func (g *gateway) awaitMember(t *testing.T) {
	t.Helper()
	await(t, g.name()+" is a member", func() bool { _, err := g.agent.Member(); return err == nil })
}

func TestAgentWaitsForAMissingToken(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west, store := sim.datacenter("east", 1), sim.datacenter("west", 2), &tokenStore{}
		_, err := east.agent.Init(t.Context(), member.InitOptions{Name: "prod"})
		require.NoError(t, err)
		west.restartWithToken(store)
		west.awaitProblem(t, "token-missing")

		store.text.Store("mesh1-nonsense")
		west.awaitProblem(t, "join-failed")

		store.text.Store(east.createToken(t))
		west.awaitMember(t)
		await(t, "west reports no problem", func() bool { return len(west.agent.Status().Problems) == 0 })
	})
}

func TestJoinIsRetriedAtABoundedRateWhileTheFederationIsUnreachable(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east, west, store := sim.datacenter("east", 1), sim.datacenter("west", 2), &tokenStore{}
		_, err := east.agent.Init(t.Context(), member.InitOptions{Name: "prod"})
		require.NoError(t, err)
		store.text.Store(east.createToken(t))
		sim.setIsolated("east", true)
		west.restartWithToken(store)
		west.awaitProblem(t, "join-failed")
		before := store.reads.Load()
		time.Sleep(time.Minute)
		assert.InDelta(t, 6, store.reads.Load()-before, 5, "the join is retried at intervals of about 10 s")
		sim.setIsolated("east", false)
		west.awaitMember(t)
	})
}

func TestMemberDoesNotReadTheToken(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		east := sim.datacenter("east", 1)
		_, err := east.agent.Init(t.Context(), member.InitOptions{Name: "prod"})
		require.NoError(t, err)
		store := &tokenStore{}
		east.restartWithToken(store)
		east.awaitMember(t)
		time.Sleep(time.Minute)
		assert.Zero(t, store.reads.Load())
		assert.Empty(t, east.agent.Status().Problems)
	})
}

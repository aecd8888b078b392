package sim

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/membership"
	"github.com/meshway/meshway/agent/plan"
)

// tokenStore is where the token of a configuration comes to be.
type tokenStore struct {
	text  atomic.Value
	asked atomic.Int32
}

func (s *tokenStore) token() (string, error) {
	s.asked.Add(1)
	if text, ok := s.text.Load().(string); ok {
		return text, nil
	}
	return "", errors.New("open /run/secrets/meshway/token: no such file or directory")
}

// told restarts a site with a token in its configuration.
func (s *site) restartTold(store *tokenStore) {
	s.stop()
	s.told = store.token
	s.start()
}

func (s *site) requireProblem(t *testing.T, code string) {
	t.Helper()
	await(t, s.name()+" reports "+code, func() bool {
		return slices.ContainsFunc(s.agent.Status().Problems, func(p plan.Problem) bool { return p.Code == code })
	})
}

func (s *site) requireMember(t *testing.T) {
	t.Helper()
	await(t, s.name()+" is a member", func() bool { _, err := s.agent.Member(); return err == nil })
}

func TestTokenThatComesLateIsWaitedFor(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west, store := w.site("east", 1), w.site("west", 2), &tokenStore{}
		_, err := east.agent.Init(t.Context(), membership.InitOptions{Name: "prod"})
		require.NoError(t, err)
		west.restartTold(store)
		west.requireProblem(t, "token-missing")

		store.text.Store("mesh1-nonsense")
		west.requireProblem(t, "join-failed")

		store.text.Store(east.token(t))
		west.requireMember(t)
		await(t, "nothing is wrong any more", func() bool { return len(west.agent.Status().Problems) == 0 })
	})
}

func TestTokenOfAFederationThatIsAwayIsTriedAgainAtAPace(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east, west, store := w.site("east", 1), w.site("west", 2), &tokenStore{}
		_, err := east.agent.Init(t.Context(), membership.InitOptions{Name: "prod"})
		require.NoError(t, err)
		store.text.Store(east.token(t))
		w.isolate("east", true)
		west.restartTold(store)
		west.requireProblem(t, "join-failed")
		before := store.asked.Load()
		time.Sleep(time.Minute)
		assert.InDelta(t, 6, store.asked.Load()-before, 5, "it is neither given up nor tried all the time")
		w.isolate("east", false)
		west.requireMember(t)
	})
}

func TestMemberNeedsNoTokenAnyMore(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		east := w.site("east", 1)
		_, err := east.agent.Init(t.Context(), membership.InitOptions{Name: "prod"})
		require.NoError(t, err)
		store := &tokenStore{}
		east.restartTold(store)
		east.requireMember(t)
		time.Sleep(time.Minute)
		assert.Zero(t, store.asked.Load())
		assert.Empty(t, east.agent.Status().Problems)
	})
}

package sim

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/membership"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
)

// drain drains a site's gateway and returns the steps.
func drain(t *testing.T, s *site, r membership.DrainRequest) []string {
	t.Helper()
	var steps []string
	require.NoError(t, s.agent.Drain(t.Context(), r, func(step, _ string) { steps = append(steps, step) }))
	return steps
}

// seenBy is a gateway of another site, as s sees it.
func seenBy(s *site, id string) status.Gateway {
	for _, dc := range s.agent.Status().Datacenters {
		for _, g := range dc.Gateways {
			if g.ID == id {
				return g
			}
		}
	}
	return status.Gateway{}
}

// ways are the devices over which s spreads flows to an address.
func ways(t *testing.T, s *site, to string) []string {
	t.Helper()
	seen, err := s.kernel.Observe(t.Context(), s.cfg.Routing.Table)
	require.NoError(t, err)
	devices := []string{}
	for _, r := range seen.Routes {
		if !r.Prefix.Contains(netip.MustParseAddr(to)) {
			continue
		}
		for _, g := range seen.Groups {
			for _, leg := range seen.Nexthops {
				if g.ID == r.Nexthop && slices.Contains(g.Members, leg.ID) {
					devices = append(devices, leg.Device)
				}
			}
		}
	}
	return devices
}

func TestDrainedGatewayIsOutOfUseUntilUndrained(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		p := newPair(t, w)
		await(t, "west uses both", func() bool { return len(ways(t, p.west, p.a.pod())) == 2 })

		assert.Equal(t, []string{"told", "quiet"}, drain(t, p.a, membership.DrainRequest{}))
		assert.Equal(t, []string{"mesh1"}, ways(t, p.west, p.a.pod()))
		assert.True(t, seenBy(p.west, "east/a").Draining)
		assert.Empty(t, p.west.agent.Status().Problems, "it is no failure")
		assert.True(t, seenBy(p.a, p.west.agent.Status().Self.ID).Up, "what still arrives is sent on")
		p.a.requireProblem(t, "draining")

		p.a.stop()
		p.a.start()
		time.Sleep(time.Minute)
		assert.True(t, p.a.agent.Status().Self.Draining, "the drain outlives the agent")
		assert.Equal(t, []string{"mesh1"}, ways(t, p.west, p.a.pod()))

		require.NoError(t, p.a.agent.Undrain())
		await(t, "west uses both again", func() bool { return len(ways(t, p.west, p.a.pod())) == 2 })
		assert.False(t, p.a.agent.Status().Self.Draining)
		p.a.stop()
		p.a.start()
		time.Sleep(time.Minute)
		assert.False(t, p.a.agent.Status().Self.Draining)
	})
}

func TestDrainEndsByItselfWhenAsked(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		p := newPair(t, w)
		drain(t, p.a, membership.DrainRequest{For: time.Minute})
		assert.Equal(t, []string{"mesh1"}, ways(t, p.west, p.a.pod()))
		time.Sleep(time.Minute)
		await(t, "west uses both again", func() bool { return len(ways(t, p.west, p.a.pod())) == 2 })
		p.a.stop()
		p.a.start()
		time.Sleep(time.Minute)
		assert.False(t, p.a.agent.Status().Self.Draining)
	})
}

func TestOnlyGatewayIsDrainedOnlyByForceAndStaysReachable(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		p := newPair(t, w)
		err := p.west.agent.Drain(t.Context(), membership.DrainRequest{}, func(string, string) {})
		var refusal *catalog.Refusal
		require.ErrorAs(t, err, &refusal)
		assert.Equal(t, "last-gateway", refusal.Code)
		assert.False(t, p.west.agent.Status().Self.Draining)

		drain(t, p.west, membership.DrainRequest{Force: true})
		time.Sleep(time.Minute)
		assert.Equal(t, []string{"mesh0"}, ways(t, p.a, p.west.pod()), "there is no other way")
		for _, dc := range p.a.agent.Status().Datacenters {
			assert.True(t, dc.Reachable, dc.Name)
		}
	})
}

func TestGatewayThatIsStillSentToKeepsItsOwnWays(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		p := newPair(t, w)
		busy, rest := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for busy.Err() == nil {
				p.b.tunnels.Handshake(lane0, p.west.key, p.west.endpoint(), time.Now(), 1<<20)
				time.Sleep(100 * time.Millisecond)
			}
		}()
		assert.Equal(t, []string{"told", "not-quiet"}, drain(t, p.b, membership.DrainRequest{}))
		time.Sleep(time.Minute)
		assert.Equal(t, []string{"mesh0"}, ways(t, p.b, p.west.pod()), "what arrives is sent on")
		p.b.stop()
		p.b.start()
		time.Sleep(time.Minute)
		assert.Equal(t, []string{"mesh0"}, ways(t, p.b, p.west.pod()), "also by the next agent")
		rest()
		<-ended
		await(t, "b leads its pods to a", func() bool { return slices.Equal(ways(t, p.b, p.west.pod()), []string{underlayDevice}) })
		assert.Equal(t, []string{"told", "quiet"}, drain(t, p.b, membership.DrainRequest{}), "again is no error")
	})
}

func TestOfTwoThatAreDrainedAtATimeOneIsRefused(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		p := newPair(t, w)
		for range 20 {
			errs := make(chan error, 2)
			for _, s := range []*site{p.a, p.b} {
				go func() { errs <- s.agent.Drain(t.Context(), membership.DrainRequest{}, func(string, string) {}) }()
			}
			err := errors.Join(<-errs, <-errs)
			var refusal *catalog.Refusal
			require.ErrorAs(t, err, &refusal)
			assert.Equal(t, "siblings-drained", refusal.Code)
			assert.NotEqual(t, p.a.agent.Status().Self.Draining, p.b.agent.Status().Self.Draining)
			for _, s := range []*site{p.a, p.b} {
				require.NoError(t, s.agent.Undrain())
			}
			await(t, "none is drained", func() bool { return !seenBy(p.a, "east/b").Draining && !seenBy(p.b, "east/a").Draining })
		}
	})
}

func TestLastGatewayInUseIsDrainedOnlyByForceAndSendsOn(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		p := newPair(t, w)
		drain(t, p.a, membership.DrainRequest{})
		await(t, "a leads its pods to b", func() bool { return slices.Equal(ways(t, p.a, p.west.pod()), []string{underlayDevice}) })
		await(t, "b knows", func() bool { return seenBy(p.b, "east/a").Draining })
		err := p.b.agent.Drain(t.Context(), membership.DrainRequest{}, func(string, string) {})
		var refusal *catalog.Refusal
		require.ErrorAs(t, err, &refusal)
		assert.Equal(t, "siblings-drained", refusal.Code)
		assert.False(t, p.b.agent.Status().Self.Draining)

		drain(t, p.b, membership.DrainRequest{Force: true})
		for _, s := range []*site{p.a, p.b} {
			await(t, s.name()+" sends on itself", func() bool { return slices.Equal(ways(t, s, p.west.pod()), []string{"mesh0"}) })
		}
		assert.Equal(t, []string{"mesh0", "mesh1"}, ways(t, p.west, p.a.pod()), "there is no other way")

		require.NoError(t, p.b.agent.Undrain())
		await(t, "a leads its pods to b again", func() bool { return slices.Equal(ways(t, p.a, p.west.pod()), []string{underlayDevice}) })
		require.NoError(t, p.a.agent.Undrain())
		await(t, "nobody is drained", func() bool { return !seenBy(p.b, "east/a").Draining })
		assert.NoError(t, p.b.agent.Drain(t.Context(), membership.DrainRequest{}, func(string, string) {}))
	})
}

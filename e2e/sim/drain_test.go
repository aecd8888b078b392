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
	"github.com/meshway/meshway/routes"
)

// drain drains a gateway and returns the reported steps.
func drain(t *testing.T, g *gateway, r membership.DrainRequest) []string {
	t.Helper()
	var steps []string
	require.NoError(t, g.agent.Drain(t.Context(), r, func(step, _ string) { steps = append(steps, step) }))
	return steps
}

// gatewayStatus returns the status of the gateway with an id in the snapshot of g.
func gatewayStatus(g *gateway, id string) status.Gateway {
	for _, dc := range g.agent.Status().Datacenters {
		for _, other := range dc.Gateways {
			if other.ID == id {
				return other
			}
		}
	}
	return status.Gateway{}
}

// devicesTo returns the devices of the nexthops of g's route to an address.
func devicesTo(t *testing.T, g *gateway, to string) []string {
	t.Helper()
	observed, err := g.kernel.Observe(t.Context(), g.cfg.Routing.Table)
	require.NoError(t, err)
	devices := []string{}
	for _, r := range observed.Routes {
		if r.Kind != routes.ToNexthop || !r.Prefix.Contains(netip.MustParseAddr(to)) { // no standby or guard
			continue
		}
		for _, group := range observed.Groups {
			for _, nexthop := range observed.Nexthops {
				if group.ID == r.Nexthop && slices.Contains(group.Members, nexthop.ID) {
					devices = append(devices, nexthop.Device)
				}
			}
		}
	}
	return devices
}

func TestDrainedGatewayIsUnusedUntilUndrain(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := newPair(t, sim)
		await(t, "west uses both gateways", func() bool { return len(devicesTo(t, p.west, p.a.pod())) == 2 })

		assert.Equal(t, []string{"told", "quiet"}, drain(t, p.a, membership.DrainRequest{}))
		assert.Equal(t, []string{"mesh1"}, devicesTo(t, p.west, p.a.pod()))
		assert.True(t, gatewayStatus(p.west, "east/a").Draining)
		assert.Empty(t, p.west.agent.Status().Problems, "a drain is not a problem for other datacenters")
		assert.True(t, gatewayStatus(p.a, p.west.agent.Status().Self.ID).Up, "the drained gateway still forwards packets")
		p.a.awaitProblem(t, "draining")

		p.a.stop()
		p.a.start()
		time.Sleep(time.Minute)
		assert.True(t, p.a.agent.Status().Self.Draining, "the drain persists when the agent restarts")
		assert.Equal(t, []string{"mesh1"}, devicesTo(t, p.west, p.a.pod()))

		require.NoError(t, p.a.agent.Undrain())
		await(t, "west uses both gateways again", func() bool { return len(devicesTo(t, p.west, p.a.pod())) == 2 })
		assert.False(t, p.a.agent.Status().Self.Draining)
		p.a.stop()
		p.a.start()
		time.Sleep(time.Minute)
		assert.False(t, p.a.agent.Status().Self.Draining)
	})
}

func TestDrainWithADurationEndsAutomatically(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := newPair(t, sim)
		drain(t, p.a, membership.DrainRequest{For: time.Minute})
		assert.Equal(t, []string{"mesh1"}, devicesTo(t, p.west, p.a.pod()))
		time.Sleep(time.Minute)
		await(t, "west uses both gateways again", func() bool { return len(devicesTo(t, p.west, p.a.pod())) == 2 })
		p.a.stop()
		p.a.start()
		time.Sleep(time.Minute)
		assert.False(t, p.a.agent.Status().Self.Draining)
	})
}

func TestDrainThatEndsBeforeTrafficDoesIsAnError(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := newPair(t, sim)
		begun := time.Now()
		err := p.a.agent.Drain(t.Context(), membership.DrainRequest{For: 3 * time.Second}, func(string, string) {})
		refusal, ok := errors.AsType[*catalog.Refusal](err)
		require.True(t, ok, "%v", err)
		assert.Equal(t, "undrained", refusal.Code)
		assert.Less(t, time.Since(begun), 4*time.Second)
		await(t, "the gateway is in use again", func() bool { return !p.a.agent.Status().Self.Draining })
	})
}

func TestDrainingTheOnlyGatewayRequiresForceAndKeepsItReachable(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := newPair(t, sim)
		err := p.west.agent.Drain(t.Context(), membership.DrainRequest{}, func(string, string) {})
		var refusal *catalog.Refusal
		require.ErrorAs(t, err, &refusal)
		assert.Equal(t, "last-gateway", refusal.Code)
		assert.False(t, p.west.agent.Status().Self.Draining)

		drain(t, p.west, membership.DrainRequest{Force: true})
		time.Sleep(time.Minute)
		assert.Equal(t, []string{"mesh0"}, devicesTo(t, p.a, p.west.pod()), "there is no other path")
		for _, dc := range p.a.agent.Status().Datacenters {
			assert.True(t, dc.Reachable, dc.Name)
		}
	})
}

func TestDrainingGatewayWithTrafficKeepsItsTunnels(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := newPair(t, sim)
		sending, stop := context.WithCancel(t.Context())
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			for sending.Err() == nil {
				p.b.tunnels.Handshake(lane0, p.west.key, p.west.endpoint(), time.Now(), 1<<20)
				time.Sleep(100 * time.Millisecond)
			}
		}()
		assert.Equal(t, []string{"told", "not-quiet"}, drain(t, p.b, membership.DrainRequest{}))
		time.Sleep(time.Minute)
		assert.Equal(t, []string{"mesh0"}, devicesTo(t, p.b, p.west.pod()), "packets that arrive are forwarded")
		p.b.stop()
		p.b.start()
		time.Sleep(time.Minute)
		assert.Equal(t, []string{"mesh0"}, devicesTo(t, p.b, p.west.pod()), "after a restart of the agent, too")
		stop()
		<-stopped
		await(t, "b routes through a", func() bool { return slices.Equal(devicesTo(t, p.b, p.west.pod()), []string{underlayDevice}) })
		assert.Equal(t, []string{"told", "quiet"}, drain(t, p.b, membership.DrainRequest{}), "a repeated drain is no error")
	})
}

func TestOneOfTwoConcurrentDrainsIsRefused(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := newPair(t, sim)
		for range 20 {
			errs := make(chan error, 2)
			for _, g := range []*gateway{p.a, p.b} {
				go func() { errs <- g.agent.Drain(t.Context(), membership.DrainRequest{}, func(string, string) {}) }()
			}
			err := errors.Join(<-errs, <-errs)
			var refusal *catalog.Refusal
			require.ErrorAs(t, err, &refusal)
			assert.Equal(t, "siblings-drained", refusal.Code)
			assert.NotEqual(t, p.a.agent.Status().Self.Draining, p.b.agent.Status().Self.Draining)
			for _, g := range []*gateway{p.a, p.b} {
				require.NoError(t, g.agent.Undrain())
			}
			await(t, "no gateway is drained", func() bool { return !gatewayStatus(p.a, "east/b").Draining && !gatewayStatus(p.b, "east/a").Draining })
		}
	})
}

func TestDrainingTheLastActiveGatewayRequiresForceAndKeepsForwarding(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := newPair(t, sim)
		drain(t, p.a, membership.DrainRequest{})
		await(t, "a routes through b", func() bool { return slices.Equal(devicesTo(t, p.a, p.west.pod()), []string{underlayDevice}) })
		await(t, "b reports that a is draining", func() bool { return gatewayStatus(p.b, "east/a").Draining })
		err := p.b.agent.Drain(t.Context(), membership.DrainRequest{}, func(string, string) {})
		var refusal *catalog.Refusal
		require.ErrorAs(t, err, &refusal)
		assert.Equal(t, "siblings-drained", refusal.Code)
		assert.False(t, p.b.agent.Status().Self.Draining)

		drain(t, p.b, membership.DrainRequest{Force: true})
		for _, g := range []*gateway{p.a, p.b} {
			await(t, g.name()+" routes through its own tunnel", func() bool { return slices.Equal(devicesTo(t, g, p.west.pod()), []string{"mesh0"}) })
		}
		assert.Equal(t, []string{"mesh0", "mesh1"}, devicesTo(t, p.west, p.a.pod()), "there is no other path")

		require.NoError(t, p.b.agent.Undrain())
		await(t, "a routes through b again", func() bool { return slices.Equal(devicesTo(t, p.a, p.west.pod()), []string{underlayDevice}) })
		require.NoError(t, p.a.agent.Undrain())
		await(t, "no gateway is drained", func() bool { return !gatewayStatus(p.b, "east/a").Draining })
		assert.NoError(t, p.b.agent.Drain(t.Context(), membership.DrainRequest{}, func(string, string) {}))
	})
}

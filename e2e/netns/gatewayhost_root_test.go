//go:build linux && root

package netns_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/e2e/harness"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// gatewayHost runs the plan and the appliers of an agent on a host.
type gatewayHost struct {
	*harness.Host
	kill     func()        // ends the agent; the host stays as it is
	tunnels  tunnel.Device // nil: the lanes are plain links
	inputs   plan.Inputs
	modify   func(*routes.Firewall) // changes the plan before it is applied, if not nil
	monitor  *liveness.Monitor
	applier  routes.Applier
	firewall routes.Filter
	drain    atomic.Int32 // plan.Drain
	lastPass atomic.Pointer[gatewayPass]
}

// gatewayPass is the input and the result of a pass.
type gatewayPass struct {
	sessions []plan.Session
	drain    plan.Drain
	err      error
}

// laneAddresses returns the planned addresses of a lane.
func (g *gatewayHost) laneAddresses(t *testing.T, device string) []netip.Prefix {
	t.Helper()
	d, _ := gatewayplan.Compute(g.inputs)
	i := slices.IndexFunc(d.Tunnels, func(c tunnel.Config) bool { return c.Name == device })
	require.GreaterOrEqual(t, i, 0, "the plan has no interface %s", device)
	return d.Tunnels[i].Addresses
}

func (g *gatewayHost) run(ctx context.Context) {
	var liveness sync.WaitGroup
	defer liveness.Wait()
	liveness.Go(func() { _ = g.Do(func() error { return g.monitor.Run(ctx) }) })
	wake := notify.NewSignal()
	if g.tunnels != nil { // lanes disappear with their processes
		liveness.Go(func() { _ = g.Do(func() error { return g.applier.Kernel.Watch(ctx, wake.Notify) }) })
	}
	for {
		changed := g.monitor.Changed()
		in := g.inputs
		in.Now, in.Observed.Sessions, in.Drain = time.Now(), g.monitor.Sessions(), plan.Drain(g.drain.Load())
		in.Catalog = drainingCatalog(in.Self, in.Drain)
		err := g.Do(func() error { return g.pass(ctx, in) })
		if ctx.Err() != nil {
			return
		}
		g.lastPass.Store(&gatewayPass{in.Observed.Sessions, in.Drain, err})
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-wake.Changed():
		case <-time.After(time.Second): // the grace period of the last lane expires without an event
		}
	}
}

// drainingCatalog returns the testbed's catalog with the drain state of a gateway.
func drainingCatalog(id catalog.GatewayID, state plan.Drain) plan.Catalog {
	c := testCatalog()
	for i := range c.Gateways {
		c.Gateways[i].Draining = c.Gateways[i].ID() == id && state != plan.Active
	}
	return c
}

func (g *gatewayHost) pass(ctx context.Context, in plan.Inputs) error {
	d, _ := gatewayplan.Compute(in)
	if g.modify != nil {
		g.modify(&d.Firewall)
	}
	var failed error
	if g.tunnels != nil {
		g.inputs.Observed.Tunnels, failed = tunnel.Apply(ctx, g.tunnels, keyOf(in.Self), d.Tunnels, true)
	}
	g.monitor.Set(d.Sessions)
	if err := g.firewall.Apply(ctx, d.Firewall); err != nil {
		return err
	}
	_, err := g.applier.Apply(ctx, d.Routes, true)
	return errors.Join(failed, err)
}

// awaitSessions waits until a gateway has completed a pass with its sessions in
// the given states.
func (tb *testbed) awaitSessions(g *gatewayHost, want ...plan.Session) {
	tb.t.Helper()
	eventually(tb.t, timeout/4, g.Name()+" has applied the states of its sessions", func(context.Context) error {
		last := g.lastPass.Load()
		switch {
		case last == nil:
			return errors.New("no pass yet")
		case last.err != nil:
			return last.err
		case len(last.sessions) < len(want):
			return fmt.Errorf("there are %d sessions", len(last.sessions))
		}
		for _, w := range want {
			for _, have := range last.sessions {
				if have.Gateway == w.Gateway && have.Up != w.Up {
					return fmt.Errorf("the session with %s is up: %t", have.Gateway, have.Up)
				}
			}
		}
		return nil
	})
}

// reconfigure changes all gateways, restarts them, and waits until their
// sessions are up.
func (tb *testbed) reconfigure(change func(*gatewayHost)) {
	tb.t.Helper()
	tb.stop()
	for _, g := range []*gatewayHost{tb.west, tb.a, tb.b} {
		change(g)
	}
	tb.start()
}

// requireBothLanesUsed asserts that requests arrived over both lanes; otherwise
// the test has no meaning.
func (tb *testbed) requireBothLanesUsed() {
	tb.t.Helper()
	for _, g := range []*gatewayHost{tb.a, tb.b} {
		out, err := g.Exec(tb.t.Context(), "nft", "list", "counter", "inet", "cluster", "from-west")
		require.NoError(tb.t, err)
		assert.NotContains(tb.t, out, "packets 0 ", "over the lane of %s", g.Name())
	}
}

// packetsToWest returns how many packets for west the gateways of east received.
func (tb *testbed) packetsToWest() int {
	tb.t.Helper()
	total := 0
	for _, g := range []*gatewayHost{tb.a, tb.b} {
		out, err := g.Exec(tb.t.Context(), "nft", "list", "counter", "inet", "cluster", "to-west")
		require.NoError(tb.t, err)
		_, count, _ := strings.Cut(out, "packets ")
		var n int
		_, err = fmt.Sscan(count, &n)
		require.NoError(tb.t, err)
		total += n
	}
	return total
}

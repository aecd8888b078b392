//go:build linux && root

package netns_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/e2e/harness"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// connections is the number of connections that a test makes: with this many,
// both gateways carry some of them in each direction with near certainty.
const connections = 40

func TestConnectionsWorkWhenEachDirectionUsesAnotherGateway(t *testing.T) {
	tb := newTestbed(t)
	for _, path := range tb.paths() {
		assert.Zero(t, tb.failedConnections(path), path.name)
	}
	tb.requireBothLanesUsed()

	// Without the transit rules connections fail, so the check above has an effect.
	tb.reconfigure(func(g *gatewayHost) { g.modify = func(fw *routes.Firewall) { fw.Transit = routes.Transit{} } })
	var failed int
	for _, path := range tb.paths() {
		failed += tb.failedConnections(path)
	}
	assert.NotZero(t, failed, "a gateway that tracks one direction of a connection drops its packets")
}

func TestPodsKeepTheirAddressThroughAnyGateway(t *testing.T) {
	tb := newTestbed(t)
	for _, path := range tb.paths() {
		for range connections {
			answer, err := path.from.Get(t.Context(), harness.At(path.to))
			require.NoError(t, err, path.name)
			require.Equal(t, path.source, answer.Source.Addr(), path.name)
		}
	}
}

func TestServiceAddressWorksThroughAnyGateway(t *testing.T) {
	tb := newTestbed(t)
	t.Run("endpoint on another host", func(t *testing.T) {
		sources := tb.serviceSources(t, serviceOnNode)
		assert.Equal(t, map[string]bool{lanA: true, lanB: true}, sources, "the gateway's address, so that the answer returns to it")
	})
	t.Run("endpoint on one of the gateways", func(t *testing.T) {
		sources := tb.serviceSources(t, serviceOnA)
		assert.Equal(t, map[string]bool{clientPod: true, lanB: true}, sources, "the gateway of the endpoint keeps the source")
	})
}

// serviceSources returns the source addresses of requests to a service address,
// as received by its endpoint.
func (tb *testbed) serviceSources(t *testing.T, address string) map[string]bool {
	t.Helper()
	sources := map[string]bool{}
	for range connections {
		answer, err := tb.client.Get(t.Context(), harness.At(addr(address)))
		require.NoError(t, err)
		sources[answer.Source.Addr().String()] = true
	}
	return sources
}

func TestPodsOfAGatewayWithoutSessionsUseTheOtherGateway(t *testing.T) {
	tb := newTestbed(t)
	tb.cutLane(tb.a)
	eventually(t, timeout, "the pod on a reaches west through b", func(ctx context.Context) error {
		_, err := tb.podA.Get(ctx, harness.At(addr(clientPod)))
		return err
	})
	tb.cutLane(tb.b)
	eventually(t, timeout, "b routes to a, as a does to b", func(ctx context.Context) error {
		out, err := tb.b.Exec(ctx, "ip", "route", "get", clientPod)
		if err == nil && !strings.Contains(out, "via "+lanA) {
			err = errors.New(out)
		}
		return err
	})
	before := tb.packetsToWest()
	_, err := tb.podA.Exec(t.Context(), "ping", "-c", "1", "-W", "1", clientPod)
	require.Error(t, err)
	assert.LessOrEqual(t, tb.packetsToWest()-before, 2, "the packet is forwarded from the pod to a and from a to b, and not again")
}

func TestConnectionsSurviveTheFailureOfAGateway(t *testing.T) {
	tb := newTestbed(t)
	const flows, interval = 12, 5 * time.Millisecond
	tb.routeNodeVia(tb.b) // as after failure detection by the node, which has its own tests
	var open []net.Conn
	for range connections {
		open = append(open, tb.connect(tb.client, podOnNode), tb.connect(tb.podNode, clientPod))
	}
	var streams []*harness.Traffic
	for range flows {
		stream, err := tb.client.Datagrams(t.Context(), harness.At(addr(podOnNode)), interval)
		require.NoError(t, err)
		streams = append(streams, stream)
	}
	tb.requireBothLanesUsed()

	failed := time.Now()
	tb.isolate(tb.a)
	for _, conn := range open {
		tb.requireResponse(conn)
	}
	t.Logf("all %d connections answer %v after the failure of a gateway", len(open), time.Since(failed).Round(time.Millisecond))
	tb.awaitAnswers(streams)
	var stopping sync.WaitGroup
	var lost [flows]int
	for i, stream := range streams {
		stopping.Go(func() { lost[i] = stream.Stop().Lost() })
	}
	stopping.Wait()
	longest := slices.Max(lost[:])
	t.Logf("the longest interruption of a flow took %v", time.Duration(longest)*interval)
	assert.NotZero(t, longest, "no stream used the gateway that failed")
}

func TestDrainingAGatewayLosesNoPacket(t *testing.T) {
	tb := newTestbed(t)
	const interval = 10 * time.Millisecond
	var streams []*harness.Traffic
	for _, path := range tb.paths() {
		for range 3 {
			stream, err := path.from.Datagrams(t.Context(), harness.At(path.to), interval)
			require.NoError(t, err)
			streams = append(streams, stream)
		}
	}
	tb.awaitAnswers(streams)
	tb.requireBothLanesUsed()
	tb.drain(tb.a, plan.Draining)
	tb.awaitSessions(tb.west, plan.Session{Gateway: "east/a"}, plan.Session{Gateway: "east/b", Up: true})
	tb.routeNodeVia(tb.b) // as the node does after a change of its Datacenter resources
	tb.drain(tb.a, plan.Drained)
	tb.awaitSessions(tb.a, plan.Session{Gateway: "west/w", Up: true})
	tb.awaitAnswers(streams)
	tb.cutLane(tb.a) // as when a's data plane is replaced
	tb.awaitAnswers(streams)
	for _, stream := range streams {
		requireNoneLost(t, stream)
	}
}

// TestNewConnectionsOfADrainedGatewaysPodsAreNotDelayed drains a gateway whose
// pod opens connections all the time. Peers stop sending through the gateway at
// once, while its own pods still use it: their packets arrive by a lane that no
// route of their source uses.
func TestNewConnectionsOfADrainedGatewaysPodsAreNotDelayed(t *testing.T) {
	for name, rpFilter := range map[string]string{"with a strict filter": "1", "with a loose filter": "2"} {
		t.Run("hosts "+name, func(t *testing.T) { testConnectionsDuringADrain(t, rpFilter) })
	}
}

func testConnectionsDuringADrain(t *testing.T, rpFilter string) {
	tb := newTestbed(t)
	for _, h := range []*harness.Host{tb.west.Host, tb.a.Host, tb.b.Host, tb.node} {
		setRPFilter(t, h, rpFilter)
	}
	tb.reconfigure(func(*gatewayHost) {})
	requests := tb.podA.Requests(t.Context(), harness.At(addr(clientPod)), 20*time.Millisecond)
	awaitMore := func() { tb.awaitAnswers([]*harness.Traffic{requests}) }
	awaitMore()
	tb.drain(tb.a, plan.Draining)
	tb.awaitSessions(tb.west, plan.Session{Gateway: "east/a"}, plan.Session{Gateway: "east/b", Up: true})
	awaitMore()
	tb.drain(tb.a, plan.Drained)
	awaitMore()
	tb.drain(tb.a, plan.Active)
	tb.awaitSessions(tb.west, plan.Session{Gateway: "east/a", Up: true}, plan.Session{Gateway: "east/b", Up: true})
	awaitMore()
	report := requests.Stop()
	assert.Zero(t, report.Lost(), "of %d requests: %v", report.Sent, report.Err)
	assert.Less(t, report.MaxLatency, time.Second, "of %d requests", report.Sent)
	for _, g := range []*gatewayHost{tb.west, tb.a, tb.b} {
		assert.Zero(t, droppedByReversePath(t, g.Host), "packets that the reverse-path filter of %s dropped", g.Name())
	}
}

// droppedByReversePath returns how many packets the reverse-path filter of a host
// has dropped.
func droppedByReversePath(t *testing.T, h *harness.Host) int {
	t.Helper()
	out, err := h.Exec(t.Context(), "nstat", "-asz", "TcpExtIPReversePathFilter")
	require.NoError(t, err)
	fields := strings.Fields(out)
	i := slices.Index(fields, "TcpExtIPReversePathFilter")
	require.True(t, i >= 0 && i+1 < len(fields), "%s", out)
	n, err := strconv.Atoi(fields[i+1])
	require.NoError(t, err)
	return n
}

// drain sets the drain state of a gateway, as its agent does, and waits until
// a pass has applied it.
func (tb *testbed) drain(g *gatewayHost, state plan.Drain) {
	g.drain.Store(int32(state))
	g.monitor.Drain(state != plan.Active)
	before := g.lastPass.Load()
	eventually(tb.t, timeout, g.Name()+" completes a pass", func(context.Context) error {
		if g.lastPass.Load() == before {
			return errors.New("not yet")
		}
		return nil
	})
}

// awaitAnswers waits until each stream has received further answers.
func (tb *testbed) awaitAnswers(streams []*harness.Traffic) {
	tb.t.Helper()
	for _, stream := range streams {
		before := stream.Report().Answered
		eventually(tb.t, timeout, "datagrams are answered again", func(context.Context) error {
			if n := stream.Report().Answered; n < before+10 {
				return fmt.Errorf("%d answers", n-before)
			}
			return nil
		})
	}
}

// requireResponse sends an HTTP request over an open connection.
func (tb *testbed) requireResponse(conn net.Conn) {
	tb.t.Helper()
	require.NoError(tb.t, conn.SetDeadline(time.Now().Add(timeout)))
	_, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(tb.t, err)
	answer := make([]byte, 12)
	_, err = conn.Read(answer)
	require.NoError(tb.t, err)
	require.Equal(tb.t, "HTTP/1.1 200", string(answer))
}

func (tb *testbed) connect(from *harness.Host, to string) net.Conn {
	tb.t.Helper()
	conn, err := from.DialContext(within(tb.t, timeout), "tcp", harness.At(addr(to)).String())
	require.NoError(tb.t, err)
	tb.t.Cleanup(func() { conn.Close() })
	return conn
}

// path is a direction of traffic between two pods.
type path struct {
	name   string
	from   *harness.Host
	to     netip.Addr
	source netip.Addr // of the connections, as received by the destination
}

func (tb *testbed) paths() []path {
	return []path{
		{"west to a pod on a node", tb.client, addr(podOnNode), addr(clientPod)},
		{"a pod on a node to west", tb.podNode, addr(clientPod), addr(podOnNode)},
		{"west to a pod on a gateway", tb.client, addr(podOnA), addr(clientPod)},
		{"a pod on a gateway to west", tb.podA, addr(clientPod), addr(podOnA)},
	}
}

// failedConnections makes several connections at the same time and returns how
// many of them failed.
func (tb *testbed) failedConnections(p path) int {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.t.Context(), 3*time.Second)
	defer cancel()
	var attempts sync.WaitGroup
	errs := make(chan error, connections)
	for range connections {
		attempts.Go(func() {
			conn, err := p.from.DialContext(ctx, "tcp", harness.At(p.to).String())
			if err == nil {
				err = conn.Close()
			}
			errs <- err
		})
	}
	attempts.Wait()
	close(errs)
	n := 0
	for err := range errs {
		if err != nil {
			n++
		}
	}
	return n
}

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
	err      error
}

// laneAddresses returns the planned addresses of a lane.
func (g *gatewayHost) laneAddresses(t *testing.T, device string) []netip.Prefix {
	t.Helper()
	d, _ := plan.Compute(g.inputs)
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
		g.lastPass.Store(&gatewayPass{in.Observed.Sessions, err})
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
	d, _ := plan.Compute(in)
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

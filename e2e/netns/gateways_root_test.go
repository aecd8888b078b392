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
	"testing"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/e2e/harness"
	"github.com/meshway/meshway/routes"
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
	// None fails while all use one gateway, as when a session is down for a moment.
	eventually(t, timeout, "a gateway that tracks one direction of a connection drops its packets", func(context.Context) error {
		for _, path := range tb.paths() {
			if tb.failedConnections(path) > 0 {
				return nil
			}
		}
		return errors.New("no connection failed")
	})
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
	const flows = 8 // of each path: two paths from west, whose flows must not all use the same lane
	var streams []*harness.Traffic
	for _, path := range tb.paths() {
		for range flows {
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
	eventually(tb.t, timeout, g.Name()+" has applied the state of its drain", func(context.Context) error {
		last := g.lastPass.Load()
		if last == nil || last.drain != state {
			return errors.New("not yet")
		}
		return last.err
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

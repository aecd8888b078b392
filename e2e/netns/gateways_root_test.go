//go:build linux && root

package netns_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/e2e/harness"
	"github.com/meshway/meshway/routes"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ports is how many connections are made in a row: enough that each of two
// ways is taken in each direction, by chance, in every run.
const ports = 40

func TestConnectionsPassWhicheverGatewayTheirPacketsTake(t *testing.T) {
	s := newShared(t)
	for _, way := range s.ways() {
		assert.Zero(t, s.refused(way), way.name)
	}
	s.requireBothLanesUsed()

	// The world is one in which that does not come by itself.
	s.each(func(g *gatewayHost) { g.amend = func(fw *routes.Firewall) { fw.Transit = routes.Transit{} } })
	var refused int
	for _, way := range s.ways() {
		refused += s.refused(way)
	}
	assert.NotZero(t, refused, "a gateway that tracks the half that it sees drops it")
}

func TestPodsKeepTheirAddressThroughAnyGateway(t *testing.T) {
	s := newShared(t)
	for _, way := range s.ways() {
		for range ports {
			answer, err := way.from.Get(t.Context(), harness.At(way.to))
			require.NoError(t, err, way.name)
			require.Equal(t, way.source, answer.Source.Addr(), way.name)
		}
	}
}

func TestServiceAddressWorksThroughAnyGateway(t *testing.T) {
	s := newShared(t)
	t.Run("endpoint on another host", func(t *testing.T) {
		sources := s.askService(t, serviceOfPod)
		assert.Equal(t, map[string]bool{lanA: true, lanB: true}, sources, "the gateway's address, so that the answer comes back to it")
	})
	t.Run("endpoint on one of the gateways", func(t *testing.T) {
		sources := s.askService(t, serviceOfOwn)
		assert.Equal(t, map[string]bool{clientPod: true, lanB: true}, sources, "kept by the gateway that it is on")
	})
}

// askService returns the sources with which requests arrive.
func (s *shared) askService(t *testing.T, address string) map[string]bool {
	t.Helper()
	sources := map[string]bool{}
	for range ports {
		answer, err := s.client.Get(t.Context(), harness.At(addr(address)))
		require.NoError(t, err)
		sources[answer.Source.Addr().String()] = true
	}
	return sources
}

func TestPodsOfAGatewayWithoutLanesUseTheOtherGateway(t *testing.T) {
	s := newShared(t)
	s.cutLane(s.a)
	eventually(t, patience, "the pod on a reaches west through b", func(ctx context.Context) error {
		_, err := s.own.Get(ctx, harness.At(addr(clientPod)))
		return err
	})
	s.cutLane(s.b)
	eventually(t, patience, "b leads to a, as a does to b", func(ctx context.Context) error {
		out, err := s.b.Exec(ctx, "ip", "route", "get", clientPod)
		if err == nil && !strings.Contains(out, "via "+lanA) {
			err = errors.New(out)
		}
		return err
	})
	before := s.carried()
	_, err := s.own.Exec(t.Context(), "ping", "-c", "1", "-W", "1", clientPod)
	require.Error(t, err)
	assert.LessOrEqual(t, s.carried()-before, 2, "once from the pod to a, once from a to b, and no more")
}

func TestConnectionsSurviveTheDeathOfAGateway(t *testing.T) {
	s := newShared(t)
	const flows, every = 12, 5 * time.Millisecond
	s.sendBy(s.b) // a node that has noticed: nodes have their own means and tests
	var open []net.Conn
	for range ports {
		open = append(open, s.connect(s.client, podOnNode), s.connect(s.pod, clientPod))
	}
	var streams []*harness.Traffic
	for range flows {
		stream, err := s.client.Datagrams(t.Context(), harness.At(addr(podOnNode)), every)
		require.NoError(t, err)
		streams = append(streams, stream)
	}
	s.requireBothLanesUsed()

	dies := time.Now()
	s.silence(s.a)
	for _, conn := range open {
		s.requireAnswer(conn)
	}
	t.Logf("all of %d connections answer %v after a gateway fell silent", len(open), time.Since(dies).Round(time.Millisecond))
	s.requireAllAnswered(streams)
	var ended sync.WaitGroup
	var lost [flows]int
	for i, stream := range streams {
		ended.Go(func() { lost[i] = stream.Stop().Lost() })
	}
	ended.Wait()
	longest := slices.Max(lost[:])
	t.Logf("flows were without an answer for %v at most", time.Duration(longest)*every)
	assert.NotZero(t, longest, "none of the streams went by the gateway that died")
}

func TestDrainedGatewayLosesNothing(t *testing.T) {
	s := newShared(t)
	const every = 10 * time.Millisecond
	var streams []*harness.Traffic
	for _, way := range s.ways() {
		for range 3 {
			stream, err := way.from.Datagrams(t.Context(), harness.At(way.to), every)
			require.NoError(t, err)
			streams = append(streams, stream)
		}
	}
	s.requireAllAnswered(streams)
	s.requireBothLanesUsed()
	s.drain(s.a, plan.Draining)
	s.awaitState(s.west, plan.Session{Gateway: "east/a"}, plan.Session{Gateway: "east/b", Up: true})
	s.sendBy(s.b) // what the Datacenter resource tells nodes
	s.drain(s.a, plan.Drained)
	s.awaitState(s.a, plan.Session{Gateway: "west/w", Up: true})
	s.requireAllAnswered(streams)
	s.cutLane(s.a) // a's data plane is replaced, say
	s.requireAllAnswered(streams)
	for _, stream := range streams {
		requireNoneLost(t, stream)
	}
}

// drain does what the agent does.
func (s *shared) drain(g *gatewayHost, step plan.Drain) {
	g.step.Store(int32(step))
	g.monitor.Drain(step != plan.Active)
	// Until a pass has taken it up.
	before := g.last.Load()
	eventually(s.t, patience, g.Name()+" plans anew", func(context.Context) error {
		if g.last.Load() == before {
			return errors.New("not yet")
		}
		return nil
	})
}

// requireAllAnswered waits until streams are answered again.
func (s *shared) requireAllAnswered(streams []*harness.Traffic) {
	s.t.Helper()
	for _, stream := range streams {
		before := stream.Report().Answered
		eventually(s.t, patience, "datagrams are answered again", func(context.Context) error {
			if stream.Report().Answered < before+10 {
				return errors.New("not yet")
			}
			return nil
		})
	}
}

// requireAnswer asks over a connection that is open already.
func (s *shared) requireAnswer(conn net.Conn) {
	s.t.Helper()
	require.NoError(s.t, conn.SetDeadline(time.Now().Add(patience)))
	_, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(s.t, err)
	answer := make([]byte, 12)
	_, err = conn.Read(answer)
	require.NoError(s.t, err)
	require.Equal(s.t, "HTTP/1.1 200", string(answer))
}

func (s *shared) connect(from *harness.Host, to string) net.Conn {
	s.t.Helper()
	conn, err := from.DialContext(within(s.t, patience), "tcp", harness.At(addr(to)).String())
	require.NoError(s.t, err)
	s.t.Cleanup(func() { conn.Close() })
	return conn
}

// way is one direction between two workloads.
type way struct {
	name   string
	from   *harness.Host
	to     netip.Addr
	source netip.Addr
}

func (s *shared) ways() []way {
	return []way{
		{"west to a pod behind the gateways", s.client, addr(podOnNode), addr(clientPod)},
		{"a pod behind the gateways to west", s.pod, addr(clientPod), addr(podOnNode)},
		{"west to a pod on a gateway", s.client, addr(podOnA), addr(clientPod)},
		{"a pod on a gateway to west", s.own, addr(clientPod), addr(podOnA)},
	}
}

// refused counts the connections, of several at once, that cannot be made.
func (s *shared) refused(w way) int {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Second)
	defer cancel()
	var tries sync.WaitGroup
	errs := make(chan error, ports)
	for range ports {
		tries.Go(func() {
			conn, err := w.from.DialContext(ctx, "tcp", harness.At(w.to).String())
			if err == nil {
				err = conn.Close()
			}
			errs <- err
		})
	}
	tries.Wait()
	close(errs)
	n := 0
	for err := range errs {
		if err != nil {
			n++
		}
	}
	return n
}

// gatewayHost is what an agent does, with the same plan and appliers, over
// lanes that are plain links.
type gatewayHost struct {
	*harness.Host
	inputs   plan.Inputs
	amend    func(*routes.Firewall) // nil: nothing
	monitor  *liveness.Monitor
	applier  routes.Applier
	firewall routes.Filter
	step     atomic.Int32 // plan.Drain
	last     atomic.Pointer[gatewayPass]
}

// gatewayPass is what a pass worked with, and what became of it.
type gatewayPass struct {
	sessions []plan.Session
	err      error
}

func (g *gatewayHost) run(ctx context.Context) {
	var liveness sync.WaitGroup
	defer liveness.Wait()
	liveness.Go(func() { _ = g.Do(func() error { return g.monitor.Run(ctx) }) })
	for {
		changed := g.monitor.Changed()
		in := g.inputs
		in.Now, in.Observed.Sessions, in.Drain = time.Now(), g.monitor.Sessions(), plan.Drain(g.step.Load())
		in.Catalog = recorded(in.Self, in.Drain)
		err := g.Do(func() error { return g.pass(ctx, in) })
		if ctx.Err() != nil {
			return
		}
		g.last.Store(&gatewayPass{in.Observed.Sessions, err})
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-time.After(time.Second): // the grace of the last lane ends without an event
		}
	}
}

// recorded is the catalog that knows of a gateway's drain.
func recorded(id catalog.GatewayID, step plan.Drain) plan.Catalog {
	c := records()
	for i := range c.Gateways {
		c.Gateways[i].Draining = c.Gateways[i].ID() == id && step != plan.Active
	}
	return c
}

func (g *gatewayHost) pass(ctx context.Context, in plan.Inputs) error {
	d, _ := plan.Compute(in)
	if g.amend != nil {
		g.amend(&d.Firewall)
	}
	g.monitor.Set(d.Sessions)
	if err := g.firewall.Apply(ctx, d.Firewall); err != nil {
		return err
	}
	_, err := g.applier.Apply(ctx, d.Routes, true)
	return err
}

// awaitState waits until a gateway has planned with its sessions as given.
func (s *shared) awaitState(g *gatewayHost, want ...plan.Session) {
	s.t.Helper()
	eventually(s.t, patience/4, g.Name()+" has noticed", func(context.Context) error {
		last := g.last.Load()
		switch {
		case last == nil:
			return errors.New("no pass yet")
		case last.err != nil:
			return last.err
		case len(last.sessions) < len(want):
			return errors.New("no session yet")
		}
		for _, w := range want {
			for _, have := range last.sessions {
				if have.Gateway == w.Gateway && have.Up != w.Up {
					return fmt.Errorf("session with %s is up: %t", have.Gateway, have.Up)
				}
			}
		}
		return nil
	})
}

// each changes all gateways and waits until they act so.
func (s *shared) each(change func(*gatewayHost)) {
	s.t.Helper()
	s.stop()
	for _, g := range []*gatewayHost{s.west, s.a, s.b} {
		change(g)
	}
	s.start()
}

// requireBothLanesUsed holds that packets came by either lane: else the test
// has shown nothing.
func (s *shared) requireBothLanesUsed() {
	s.t.Helper()
	for _, g := range []*gatewayHost{s.a, s.b} {
		out, err := g.Exec(s.t.Context(), "nft", "list", "counter", "inet", "cluster", "from-west")
		require.NoError(s.t, err)
		assert.NotContains(s.t, out, "packets 0 ", "by the lane of %s", g.Name())
	}
}

// carried is how many packets for west the gateways of east were handed.
func (s *shared) carried() int {
	s.t.Helper()
	total := 0
	for _, g := range []*gatewayHost{s.a, s.b} {
		out, err := g.Exec(s.t.Context(), "nft", "list", "counter", "inet", "cluster", "to-west")
		require.NoError(s.t, err)
		_, figure, _ := strings.Cut(out, "packets ")
		var n int
		_, err = fmt.Sscan(figure, &n)
		require.NoError(s.t, err)
		total += n
	}
	return total
}

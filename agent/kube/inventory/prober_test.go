package inventory

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/liveness/livenesstest"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
)

// fakeProbes has the results that the test sets.
type fakeProbes struct {
	sessions []plan.SessionConfig
	results  []plan.Session
	changed  notify.Broadcast
}

func (*fakeProbes) Run(ctx context.Context) error       { <-ctx.Done(); return nil }
func (p *fakeProbes) Set(sessions []plan.SessionConfig) { p.sessions = sessions }
func (p *fakeProbes) Sessions() []plan.Session          { return p.results }
func (p *fakeProbes) Changed() <-chan struct{}          { return p.changed.Changed() }

var errProbes = errors.New("no socket")

type failingProbes struct{ fakeProbes }

func (*failingProbes) Run(context.Context) error { return errProbes }

// setSession sets the session with gateway b of east.
func (p *fakeProbes) setSession(up bool, since time.Time) {
	p.results = []plan.Session{{Gateway: "east/b", Up: up, Since: since}}
}

// newTestProber returns the prober of gateway a of three: b is on another network,
// c has IPv6 only.
func newTestProber(p dataplane.Prober) *SiblingProber {
	node := func(name string, gateway bool, addresses ...string) kube.Node {
		n := kube.Node{Name: name, Gateway: gateway}
		for _, a := range addresses {
			n.Addresses = append(n.Addresses, netip.MustParseAddr(a))
		}
		return n
	}
	nodes := []kube.Node{
		node("a", true, "192.0.2.1", "2001:db8::1"), node("b", true, "198.51.100.2"), node("c.example", true, "2001:db8::3"), node("d", false, "192.0.2.4"),
	}
	var never notify.Broadcast
	return NewSiblingProber(SiblingProberConfig{
		Probes: p, Datacenter: "east", Node: "a", Nodes: func() []kube.Node { return nodes }, Changed: never.Changed,
	})
}

func TestProberReportsSilentSiblings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := livenesstest.New(1)
		b := netip.MustParseAddr("198.51.100.2")
		network.SetHost(b, true)
		network.SetHost(netip.MustParseAddr("2001:db8::3"), true)
		l := newTestProber(liveness.NewProber(liveness.Config{Network: network, Interval: 500 * time.Millisecond, Multiplier: 4}))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		time.Sleep(10 * time.Second)
		assert.Empty(t, l.Silent())
		network.SetHost(b, false)
		changed := l.Changed()
		<-changed
		assert.Contains(t, l.Silent(), "b")
		assert.Len(t, l.Silent(), 1)
		network.SetHost(b, true)
		time.Sleep(3 * time.Second)
		assert.Empty(t, l.Silent())
		stop()
		require.NoError(t, <-ended)
	})
}

func TestProberEndsWithTheErrorOfItsSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		assert.ErrorIs(t, newTestProber(&failingProbes{}).Run(t.Context()), errProbes)
	})
}

func TestOnlySiblingsAreProbed(t *testing.T) {
	at := netip.MustParseAddr
	assert.Equal(t, []plan.SessionConfig{
		{Gateway: "east/b", Local: at("192.0.2.1"), Remote: at("198.51.100.2")},
		{Gateway: "east/c-example", Local: at("2001:db8::1"), Remote: at("2001:db8::3")},
	}, newTestProber(&fakeProbes{}).sessions())
}

// A host that has booted and has no tunnels yet must not receive packets of nodes.
func TestSilentSiblingLosesItsEntriesUntilItWritesThemAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p := newTestCluster(t), &fakeProbes{}
		of := func(self string) plan.Reachability {
			return federation(self, gateway("x", 0, true, 5*time.Millisecond)).Reachability
		}
		other := w.newWriter(t, func() plan.Reachability { return of("b") })
		w.writer.cfg.SiblingProber = newTestProber(p)
		through := func() []string {
			inventory := ToInventory([]Datacenter{w.objects(t)["west"]})
			return inventory.Members[0].Through
		}
		awaitAll := func() {
			for _, writer := range []*Writer{w.writer, other} {
				w.await(t, writer)
			}
		}
		pass := func(writer *Writer) { w.pass(t, writer); awaitAll() }
		start := time.Now()
		p.setSession(true, start)
		pass(w.writer)
		pass(other)
		require.Equal(t, []string{"a", "b"}, through())

		p.setSession(false, start)
		pass(w.writer)
		assert.Equal(t, []string{"a"}, through())
		assert.Len(t, ToInventory([]Datacenter{w.objects(t)["east"]}).Gateways, 2, "it is still a gateway, and nodes keep their tunnels to it")
		pass(w.writer)
		assert.Equal(t, []string{"a"}, through())

		pass(other) // b is alive: only the path between the two is broken
		pass(w.writer)
		assert.Equal(t, []string{"a", "b"}, through(), "the writes of a sibling take precedence")

		p.setSession(true, start.Add(time.Minute))
		pass(w.writer)
		p.setSession(false, start.Add(2*time.Minute))
		pass(w.writer)
		assert.Equal(t, []string{"a"}, through(), "b is silent again")
		pass(other)
		p.setSession(false, start.Add(3*time.Minute))
		pass(w.writer)
		assert.Equal(t, []string{"a"}, through(), "b is silent since later, without an answer in between")
	})
}

package consensustest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// Network connects hosts in memory, like TCP over a network that loses nothing
// but time: what is sent over a cut link arrives when the link is whole again,
// if both ends still wait for it.
type Network struct {
	mu      sync.Mutex // guards all following fields
	hosts   map[catalog.GatewayID]*Host
	servers map[catalog.GatewayID]Server
	cut     map[direction]bool
	sent    map[direction]int
	delay   time.Duration
	changed chan struct{} // closed when links change
}

// direction is the way from one host to another.
type direction struct{ from, to catalog.GatewayID }

// NewNetwork returns a network whose links are all whole.
func NewNetwork() *Network {
	return &Network{
		hosts:   make(map[catalog.GatewayID]*Host),
		servers: make(map[catalog.GatewayID]Server),
		cut:     make(map[direction]bool),
		sent:    make(map[direction]int),
		changed: make(chan struct{}),
	}
}

// Delay makes everything sent from now on take d, one way.
func (n *Network) Delay(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = d
}

// Sent is how many times a host wrote to its streams to another.
func (n *Network) Sent(from, to catalog.GatewayID) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sent[direction{from, to}]
}

func (n *Network) count(d direction) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sent[d]++
}

// Cut stops what goes from one host to another; the way back stays.
func (n *Network) Cut(from, to catalog.GatewayID) {
	n.change(func() { n.cut[direction{from, to}] = true })
}

// Partition splits the hosts into groups that cannot reach each other. Links
// inside a group are whole; who is in no group keeps its links.
func (n *Network) Partition(groups ...[]catalog.GatewayID) {
	n.change(func() {
		group := make(map[catalog.GatewayID]int)
		for i, ids := range groups {
			for _, id := range ids {
				group[id] = i
			}
		}
		for a, x := range group {
			for b, y := range group {
				n.cut[direction{a, b}] = x != y
			}
		}
	})
}

// Isolate cuts all links of a host, both ways.
func (n *Network) Isolate(id catalog.GatewayID) {
	n.change(func() {
		for other := range n.hosts {
			n.cut[direction{id, other}] = other != id
			n.cut[direction{other, id}] = other != id
		}
	})
}

// Heal makes all links whole.
func (n *Network) Heal() {
	n.change(func() { clear(n.cut) })
}

func (n *Network) change(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	close(n.changed)
	n.changed = make(chan struct{})
}

// whole says whether a link works, how long it takes, and when to look again.
func (n *Network) whole(d direction) (bool, time.Duration, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.cut[d], n.delay, n.changed
}

// travel waits until a message could have gone the way d.
func (n *Network) travel(ctx context.Context, d direction) error {
	for {
		whole, delay, changed := n.whole(d)
		if whole {
			return sleep(ctx, delay)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%s does not reach %s: %w", d.from, d.to, ctx.Err())
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Host is one gateway's end of the network.
type Host struct {
	network *Network
	id      catalog.GatewayID
	backlog chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

var _ consensus.Network = (*Host)(nil)

// Host attaches a gateway. A second call for the same id is its restart: the
// new host takes the place of the old.
func (n *Network) Host(id catalog.GatewayID) *Host {
	h := &Host{network: n, id: id, backlog: make(chan net.Conn), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[id] = h
	return h
}

// Accept implements consensus.Network.
func (h *Host) Accept() (net.Conn, error) {
	select {
	case conn := <-h.backlog:
		return conn, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements consensus.Network.
func (h *Host) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements consensus.Network.
func (h *Host) Addr() net.Addr { return addr(h.id) }

// Dial implements consensus.Network; the address does not matter.
func (h *Host) Dial(ctx context.Context, id catalog.GatewayID, _ string) (net.Conn, error) {
	there, back := direction{h.id, id}, direction{id, h.id}
	if err := h.network.travel(ctx, there); err != nil {
		return nil, err
	}
	h.network.mu.Lock()
	peer := h.network.hosts[id]
	h.network.mu.Unlock()
	if peer == nil {
		return nil, fmt.Errorf("dial %s: no such host", id)
	}
	if err := h.network.travel(ctx, back); err != nil {
		return nil, err
	}
	here, far := h.network.pipe(h.id, id)
	select {
	case peer.backlog <- far:
		return here, nil
	case <-peer.closed:
		return nil, fmt.Errorf("dial %s: connection refused", id)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Addresses gives one address for every id, as consensus.Config wants it.
func Addresses(id catalog.GatewayID) []string { return []string{"memory:" + string(id)} }

type addr catalog.GatewayID

func (addr) Network() string  { return "memory" }
func (a addr) String() string { return string(a) }

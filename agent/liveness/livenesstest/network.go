// Package livenesstest has a liveness.Network in memory, with partitions and loss.
// It works in a testing/synctest bubble, because it waits only on channels.
package livenesstest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/consensus/consensustest/memnet"
)

// queue is the number of packets that a connection buffers before it drops.
const queue = 256

// Network connects all hosts of a simulation. A host is an address; like the kernel
// of a real host it answers echoes, even if nothing listens on it.
type Network struct {
	links *memnet.Links[netip.Addr]

	mu     sync.Mutex // guards all following fields
	conns  map[connKey]*conn
	hosts  map[netip.Addr]bool
	lost   map[direction]float64
	random *rand.Rand
}

// connKey identifies a connection.
type connKey struct {
	local  netip.AddrPort // port 0: echoes
	device string
}

// direction identifies the packets from one host to another.
type direction struct{ from, to netip.Addr }

var _ liveness.Network = (*Network)(nil)

// New returns a network without hosts. seed is the seed of the random loss.
func New(seed uint64) *Network {
	return &Network{
		links:  memnet.NewLinks[netip.Addr](),
		conns:  map[connKey]*conn{},
		hosts:  map[netip.Addr]bool{},
		lost:   map[direction]float64{},
		random: rand.New(rand.NewPCG(seed, 0)),
	}
}

// SetLatency sets the time that every packet takes in one direction.
func (n *Network) SetLatency(d time.Duration) { n.links.Delay(d) }

// Cut drops all packets from one host to another, in this direction only, or ends this.
func (n *Network) Cut(from, to netip.Addr, cut bool) {
	if cut {
		n.links.Cut(from, to)
	} else {
		n.links.Restore(from, to)
	}
}

// SetLoss sets the share of packets that are lost in one direction, 0…1.
func (n *Network) SetLoss(from, to netip.Addr, share float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost[direction{from, to}] = share
}

// SetHost sets whether a host exists, and answers echoes. Listening on a host makes
// it exist.
func (n *Network) SetHost(host netip.Addr, exists bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[host] = exists
}

// Sent returns how many packets one host sent to another, including lost ones.
func (n *Network) Sent(from, to netip.Addr) int { return n.links.Sent(from, to) }

// Break makes all connections of a host fail, as when its interface is removed.
func (n *Network) Break(host netip.Addr) {
	n.mu.Lock()
	var broken []*conn
	for key, c := range n.conns {
		if key.local.Addr() == host {
			broken = append(broken, c)
		}
	}
	n.mu.Unlock()
	for _, c := range broken {
		_ = c.Close() // cannot fail
	}
}

// Listen implements liveness.Network.
func (n *Network) Listen(ctx context.Context, local netip.AddrPort, device string) (liveness.PacketConn, error) {
	return n.open(ctx, connKey{local, device})
}

// ListenEcho implements liveness.Network.
func (n *Network) ListenEcho(ctx context.Context, local netip.Addr, device string) (liveness.PacketConn, error) {
	return n.open(ctx, connKey{netip.AddrPortFrom(local, 0), device})
}

func (n *Network) open(ctx context.Context, key connKey) (liveness.PacketConn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conns[key] != nil {
		return nil, fmt.Errorf("listen on %s: in use", key.local)
	}
	c := &conn{network: n, key: key, in: make(chan packet, queue), closed: make(chan struct{})}
	n.conns[key] = c
	n.hosts[key.local.Addr()] = true
	return c, nil
}

// send transmits a packet. The reply to an echo is transmitted in the reverse
// direction.
func (n *Network) send(from connKey, b []byte, to netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	out, back := direction{from.local.Addr(), to.Addr()}, direction{to.Addr(), from.local.Addr()}
	p := packet{data: append([]byte(nil), b...), from: from.local}
	n.carry(out, func() {
		if from.local.Port() != 0 {
			n.deliver(to, p)
		} else if n.hosts[to.Addr()] {
			p.from = to
			n.carry(back, func() { n.conns[from].enqueue(p) })
		}
	})
}

// carry calls arrive with mu held, after the latency, unless the packet is lost.
func (n *Network) carry(d direction, arrive func()) {
	link := n.links.Link(d.from, d.to)
	link.Count()
	whole, latency, _ := link.State()
	if !whole || n.random.Float64() < n.lost[d] {
		return
	}
	if latency == 0 {
		arrive()
		return
	}
	time.AfterFunc(latency, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		arrive()
	})
}

// deliver passes a packet to all connections of an address. The two ends of a tunnel
// may be different lanes, so that the device does not identify the connection; only
// one of them has a session with the sender.
func (n *Network) deliver(to netip.AddrPort, p packet) {
	for key, c := range n.conns {
		if key.local == to {
			c.enqueue(p)
		}
	}
}

type packet struct {
	data []byte
	from netip.AddrPort
}

type conn struct {
	network *Network
	key     connKey
	in      chan packet
	once    sync.Once
	closed  chan struct{}
}

// enqueue queues a packet. It drops the packet if c is nil or the queue is full.
func (c *conn) enqueue(p packet) {
	if c == nil {
		return
	}
	select {
	case c.in <- p:
	default:
	}
}

func (c *conn) ReadFrom(b []byte) (int, netip.AddrPort, error) {
	select {
	case p := <-c.in:
		return copy(b, p.data), p.from, nil
	case <-c.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (c *conn) WriteTo(b []byte, to netip.AddrPort) error {
	select {
	case <-c.closed:
		return net.ErrClosed
	default:
		c.network.send(c.key, b, to)
		return nil
	}
}

func (c *conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.network.mu.Lock()
		defer c.network.mu.Unlock()
		delete(c.network.conns, c.key)
	})
	return nil
}

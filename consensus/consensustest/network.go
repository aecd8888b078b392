package consensustest

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest/memnet"
)

// Network connects gateways in memory, like TCP: what is sent over a cut link
// arrives when the link is whole again, if both ends still wait for it.
type Network struct {
	*memnet.Links[catalog.GatewayID]

	mu      sync.Mutex // guards all following fields
	hosts   map[catalog.GatewayID]*Host
	servers map[catalog.GatewayID]Server
}

// NewNetwork returns a network whose links are all whole.
func NewNetwork() *Network {
	return &Network{
		Links:   memnet.NewLinks[catalog.GatewayID](),
		hosts:   make(map[catalog.GatewayID]*Host),
		servers: make(map[catalog.GatewayID]Server),
	}
}

// Host is one gateway's end of the network.
type Host struct {
	network *Network
	id      catalog.GatewayID
	backlog chan stream
	closed  chan struct{}
	once    sync.Once
}

// stream is an opened stream and the gateway that opened it.
type stream struct {
	conn net.Conn
	from catalog.GatewayID
}

var _ consensus.Network = (*Host)(nil)

// Host attaches a gateway. A second call for the same id is its restart: the new
// host replaces the old one.
func (n *Network) Host(id catalog.GatewayID) *Host {
	h := &Host{network: n, id: id, backlog: make(chan stream), closed: make(chan struct{})}
	n.Add(id)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[id] = h
	return h
}

// host returns the gateway's current end; nil: it was never attached.
func (n *Network) host(id catalog.GatewayID) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hosts[id]
}

// Accept implements consensus.Network.
func (h *Host) Accept() (net.Conn, catalog.GatewayID, error) {
	select {
	case s := <-h.backlog:
		return s.conn, s.from, nil
	case <-h.closed:
		return nil, "", net.ErrClosed
	}
}

// Close implements consensus.Network.
func (h *Host) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements consensus.Network.
func (h *Host) Addr() net.Addr { return addr(h.id) }

// Dial implements consensus.Network. It ignores the address.
func (h *Host) Dial(ctx context.Context, id catalog.GatewayID, _ string) (net.Conn, error) {
	return h.network.Dial(ctx, h.id, id)
}

// Dial opens a stream from one gateway to another.
func (n *Network) Dial(ctx context.Context, from, id catalog.GatewayID) (net.Conn, error) {
	there, back := n.Link(from, id), n.Link(id, from)
	if err := memnet.Travel(ctx, there); err != nil {
		return nil, fmt.Errorf("dial %s: %w", id, err)
	}
	peer := n.host(id)
	if peer == nil {
		return nil, fmt.Errorf("dial %s: no such host", id)
	}
	if err := memnet.Travel(ctx, back); err != nil {
		return nil, fmt.Errorf("dial %s: %w", id, err)
	}
	near, far := memnet.Pipe(there, back, addr(from), addr(id))
	select {
	case peer.backlog <- stream{far, from}:
		return near, nil
	case <-peer.closed:
		return nil, fmt.Errorf("dial %s: connection refused", id)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Addresses returns one address for every id. It is a raftnode.Config.Addresses.
func Addresses(id catalog.GatewayID) []string { return []string{"memory:" + string(id)} }

type addr catalog.GatewayID

func (addr) Network() string  { return "memory" }
func (a addr) String() string { return string(a) }

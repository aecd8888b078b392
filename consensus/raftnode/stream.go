package raftnode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// streams is raft's StreamLayer over a Network. A raft address is the gateway's
// id itself, because addresses change and raft keeps them in its log; which
// network addresses an id has now is asked for at each dial.
type streams struct {
	id        catalog.GatewayID
	network   consensus.Network
	addresses func(catalog.GatewayID) []string
	perDial   time.Duration // bound for each candidate address
	incoming  <-chan net.Conn
	done      chan struct{}

	mu     sync.Mutex // guards all following fields
	open   map[*stream]struct{}
	closed bool
}

var _ raft.StreamLayer = (*streams)(nil)

// newStreams makes the stream layer of one raft instance; incoming outlives it.
// A candidate address gets one lease of time, so that a dead overlay address
// costs less than an election.
func newStreams(conf Config, timers Timers, incoming <-chan net.Conn) *streams {
	return &streams{
		id: conf.ID, network: conf.Network, addresses: conf.Addresses, perDial: timers.Lease,
		incoming: incoming, done: make(chan struct{}), open: make(map[*stream]struct{}),
	}
}

// Accept implements net.Listener.
func (s *streams) Accept() (net.Conn, error) {
	select {
	case conn := <-s.incoming:
		return s.track(conn)
	case <-s.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener and closes every open stream.
func (s *streams) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	open := s.open
	s.open = nil
	s.mu.Unlock()
	close(s.done)
	for conn := range open {
		conn.Conn.Close()
	}
	return nil
}

// Addr gives the own id as address: it goes into raft's messages as the leader's.
func (s *streams) Addr() net.Addr { return idAddr(s.id) }

// Dial tries the addresses of a gateway in order.
func (s *streams) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	id := catalog.GatewayID(address)
	ctx, release := s.dialContext(timeout)
	defer release()
	candidates := s.addresses(id)
	if len(candidates) == 0 {
		return nil, fmt.Errorf("dial %s: no address known", id)
	}
	var errs []error
	for _, candidate := range candidates {
		conn, err := s.dialOne(ctx, id, candidate)
		if err == nil {
			return s.track(conn)
		}
		errs = append(errs, fmt.Errorf("dial %s at %s: %w", id, candidate, err))
	}
	return nil, errors.Join(errs...)
}

// dialContext ends after timeout, or when the layer is closed: raft gives no
// context, and a dial must not outlive its raft instance.
func (s *streams) dialContext(timeout time.Duration) (context.Context, func()) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-s.done:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		cancel()
		wg.Wait()
	}
}

func (s *streams) dialOne(ctx context.Context, id catalog.GatewayID, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.perDial)
	defer cancel()
	return s.network.Dial(ctx, id, address)
}

// track remembers conn until it is closed.
func (s *streams) track(conn net.Conn) (net.Conn, error) {
	t := &stream{Conn: conn, of: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		conn.Close()
		return nil, net.ErrClosed
	}
	s.open[t] = struct{}{}
	return t, nil
}

// stream is a connection that its layer can close.
type stream struct {
	net.Conn
	of *streams
}

func (c *stream) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// idAddr is a gateway id as net.Addr.
type idAddr catalog.GatewayID

func (idAddr) Network() string  { return "meshway" }
func (a idAddr) String() string { return string(a) }

package transport

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

// streamLayer is a raft.StreamLayer over a consensus.Network. A raft address is
// the id of the gateway, because raft keeps addresses in its log and network
// addresses change; each dial looks up the current ones.
type streamLayer struct {
	id          catalog.GatewayID
	network     consensus.Network
	addresses   func(catalog.GatewayID) []string
	dialTimeout time.Duration // for each address
	done        chan struct{}

	mu     sync.Mutex // guards all following fields
	open   map[*stream]struct{}
	closed bool
}

var _ raft.StreamLayer = (*streamLayer)(nil)

func newStreamLayer(cfg Config) *streamLayer {
	return &streamLayer{
		id:          cfg.ID,
		network:     cfg.Network,
		addresses:   cfg.Addresses,
		dialTimeout: cfg.DialTimeout,
		done:        make(chan struct{}),
		open:        make(map[*stream]struct{}),
	}
}

// Accept implements net.Listener. It accepts nothing: inbound receives the streams
// of other members.
func (s *streamLayer) Accept() (net.Conn, error) {
	<-s.done
	return nil, net.ErrClosed
}

// Close implements net.Listener and closes every open stream.
func (s *streamLayer) Close() error {
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

// Addr returns the id of this gateway: raft sends it as the address of the
// leader.
func (s *streamLayer) Addr() net.Addr { return gatewayAddr(s.id) }

// Dial implements raft.StreamLayer. It tries the addresses of a gateway in order.
func (s *streamLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	id := catalog.GatewayID(address)
	ctx, release := s.dialContext(timeout)
	defer release()
	candidates := s.addresses(id)
	if len(candidates) == 0 {
		return nil, fmt.Errorf("dial %s: no address known", id)
	}
	var errs []error
	for _, candidate := range candidates {
		conn, err := s.dialAddress(ctx, id, candidate)
		if err == nil {
			return s.track(newAnswered(conn))
		}
		errs = append(errs, fmt.Errorf("dial %s at %s: %w", id, candidate, err))
	}
	return nil, errors.Join(errs...)
}

// dialContext returns a context that ends after timeout or when the layer is
// closed: raft passes no context, and a dial must not outlive its raft instance.
func (s *streamLayer) dialContext(timeout time.Duration) (context.Context, func()) {
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

func (s *streamLayer) dialAddress(ctx context.Context, id catalog.GatewayID, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.dialTimeout)
	defer cancel()
	return s.network.Dial(ctx, id, address)
}

// track keeps conn until it is closed, so that Close can close it.
func (s *streamLayer) track(conn net.Conn) (net.Conn, error) {
	t := &stream{Conn: conn, layer: s}
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
	layer *streamLayer
}

func (c *stream) Close() error {
	c.layer.mu.Lock()
	delete(c.layer.open, c)
	c.layer.mu.Unlock()
	return c.Conn.Close()
}

// gatewayAddr is a gateway id as a net.Addr.
type gatewayAddr catalog.GatewayID

func (gatewayAddr) Network() string  { return "meshway" }
func (a gatewayAddr) String() string { return string(a) }

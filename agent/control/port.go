package control

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	handshakeTimeout = 10 * time.Second
	// strangerLife is how long a connection of a caller that is no member lasts:
	// enough to join, which waits for the catalog's quorum.
	strangerLife = time.Minute
	// acceptPause is waited when the host is out of file descriptors or memory.
	acceptPause = 200 * time.Millisecond
	// overlayRetry is waited before binding to the overlay address is tried again.
	overlayRetry  = 5 * time.Second
	shutdownGrace = 2 * time.Second
	// answerGrace is how long a datacenter that has left may wait for the answer
	// to the call by which it did.
	answerGrace = time.Second
)

// Config is what a Port needs; all but the last three are required.
type Config struct {
	Listen    netip.AddrPort      // control.listen
	Certifier *identity.Certifier // whose federation is set
	CAs       identity.CAs        // of the catalog; called at each handshake and each call
	// Changed is closed when the catalog changes after the call.
	Changed func() <-chan struct{}
	// Index is of the last command in the catalog; nil: strangers are not told
	// whether they were removed from it.
	Index   func() uint64
	Sockets Sockets
	Service Service
	// Addresses gives where a gateway may be reached, host:port, best first.
	Addresses func(catalog.GatewayID) []string
	Sentinels rpc.Sentinels    // errors of Service that keep their meaning over the wire
	Now       func() time.Time // nil: time.Now
	Log       *slog.Logger     // nil: silent
}

// Port is the control port of a gateway that is a member, both ways: it accepts
// and it dials. Every connection is cut as soon as the catalog says that the
// datacenter at its other end is no longer a member.
type Port struct {
	config   Config
	trust    trust
	log      *slog.Logger
	sessions *sessions
	unproven unproven
	rpc      *queue
	raft     *RaftNetwork
	client   *Client
	http     *http.Server
	overlay  *overlay

	mu       sync.Mutex // guards all following fields
	listener net.Listener
}

// New makes a control port. Listen binds it, Run serves it.
func New(config Config) *Port {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	p := &Port{
		config:   config,
		trust:    trust{certifier: config.Certifier, cas: config.CAs, now: config.Now},
		log:      config.Log,
		sessions: newSessions(),
		unproven: unproven{bySource: make(map[netip.Prefix]int)},
		overlay:  newOverlay(),
	}
	p.rpc = newQueue(p.Addr)
	p.raft = &RaftNetwork{queue: newQueue(p.Addr), dial: p.dial}
	p.client = newClient(p.dial, config.Addresses, config.Sentinels)
	p.http = p.newHTTP()
	return p
}

// Raft returns the way for raft's streams.
func (p *Port) Raft() *RaftNetwork { return p.raft }

// Client returns the way to call other gateways.
func (p *Port) Client() *Client { return p.client }

// Addr returns the address that is bound, the one to bind before Listen.
func (p *Port) Addr() net.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil {
		return net.TCPAddrFromAddrPort(p.config.Listen)
	}
	return p.listener.Addr()
}

// SetOverlay tells this gateway's overlay address, on which the port listens as
// well from then on; the zero address ends that.
func (p *Port) SetOverlay(addr netip.Addr) { p.overlay.set(addr) }

// Listen binds the port, so that one that is in use is found before anything is
// changed. Run does it if it was not done before.
func (p *Port) Listen(ctx context.Context) error {
	_, err := p.listen(ctx)
	return err
}

func (p *Port) listen(ctx context.Context) (net.Listener, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		return p.listener, nil
	}
	l, err := p.config.Sockets.Listen(ctx, p.config.Listen, Underlay)
	if err != nil {
		return nil, fmt.Errorf("control.listen: %w", err)
	}
	p.listener = l
	return l, nil
}

// Close releases the port of a Listen that no Run followed.
func (p *Port) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil {
		return nil
	}
	err := p.listener.Close()
	p.listener = nil
	return err
}

// Run serves until ctx ends. It then stops accepting, gives calls that are being
// answered two seconds and closes every connection.
func (p *Port) Run(ctx context.Context) error {
	listener, err := p.listen(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.accept(ctx, listener) })
	g.Go(func() error { return p.listenOverlay(ctx) })
	g.Go(func() error { return p.watchTrust(ctx) })
	g.Go(func() error {
		if err := p.http.Serve(p.rpc); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve control port: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		p.shutdown(ctx)
		return nil
	})
	return g.Wait()
}

// shutdown ends what Run serves: calls first, since they may need raft.
func (p *Port) shutdown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	_ = p.Close() // no new connections
	if err := p.http.Shutdown(ctx); err != nil {
		_ = p.http.Close() // calls that were not done in time are cut
	}
	p.client.close()
	_ = p.raft.Close() // never fails
	p.sessions.close()
}

// accept takes connections until the listener is closed, each in a goroutine of
// its own that ends when the connection is handed over.
func (p *Port) accept(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() }) // ends Accept
	defer stop()
	var handshakes sync.WaitGroup
	defer handshakes.Wait()
	for {
		raw, err := l.Accept()
		if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
			if raw != nil {
				_ = raw.Close() // too late
			}
			return nil
		}
		if err != nil {
			p.log.Warn("cannot accept on control port", "err", err)
			if !pause(ctx, acceptPause) {
				return nil
			}
			continue
		}
		release, ok := p.unproven.take(sourceOf(raw.RemoteAddr()))
		if !ok {
			_ = raw.Close() // the only answer that costs nothing
			continue
		}
		handshakes.Go(func() { p.serve(ctx, raw, release) })
	}
}

// serve does the handshake of one connection and hands it to raft or to RPC.
func (p *Port) serve(ctx context.Context, raw net.Conn, release func()) {
	under := p.sessions.track(raw, release)
	conn, proof, err := p.handshake(ctx, under)
	if err != nil {
		p.log.Debug("control handshake refused", "remote", raw.RemoteAddr().String(), "err", err)
		_ = under.Close() // there is nothing to say to it
		return
	}
	p.sessions.add(under, proof, conn.ConnectionState().NegotiatedProtocol == protocolRPC)
	switch {
	case !proof.member:
		time.AfterFunc(strangerLife, func() { _ = under.Close() })
	case !p.trust.holds(proof): // the catalog changed before add: watchTrust did not see us
		_ = under.Close()
		return
	default:
		release()
	}
	if conn.ConnectionState().NegotiatedProtocol == protocolRaft {
		p.raft.queue.deliver(ctx, conn)
		return
	}
	p.rpc.deliver(ctx, conn)
}

// handshake lets members in, and strangers only where they could ask to join.
func (p *Port) handshake(ctx context.Context, under net.Conn) (*tls.Conn, proof, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	var proved proof
	conn := tls.Server(under, serverTLS(p.config.Certifier, func(state tls.ConnectionState) error {
		var err error
		proved, err = p.trust.prove(state)
		if state.NegotiatedProtocol == protocolRPC {
			return nil // authorise looks at each call
		}
		return err
	}))
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, proof{}, err
	}
	return conn, proved, nil
}

// watchTrust cuts the connections of those that the catalog no longer names.
func (p *Port) watchTrust(ctx context.Context) error {
	for {
		changed := p.config.Changed() // before the look, so that no change is missed
		again := time.Duration(0)
		n := p.sessions.cut(func(s *session) bool {
			due, wait := p.endsNow(s)
			again = max(again, wait)
			return due
		})
		if n > 0 {
			p.log.Info("cut connections of a datacenter that is no longer a member", "connections", n)
		}
		var later <-chan time.Time // never, unless somebody is owed an answer
		if again > 0 {
			later = time.After(again)
		}
		select {
		case <-changed:
		case <-later:
		case <-ctx.Done():
			return nil
		}
	}
}

// endsNow tells whether a connection has to be cut, or how long it may still
// last. One on which we answer calls lasts a moment longer: the call by which
// its peer left came over it, and further ones are refused anyway.
func (p *Port) endsNow(s *session) (now bool, wait time.Duration) {
	if !s.proof.member || p.trust.holds(s.proof) {
		return false, 0
	}
	if !s.serves {
		return true, 0
	}
	if s.ended.IsZero() {
		s.ended = time.Now()
	}
	wait = answerGrace - time.Since(s.ended)
	return wait <= 0, max(wait, 0)
}

// pause waits; false: ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

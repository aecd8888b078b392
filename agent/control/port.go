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

	"github.com/meshway/meshway/agent/control/internal/connqueue"
	"github.com/meshway/meshway/agent/control/internal/limit"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	handshakeTimeout = 10 * time.Second
	// firstByteTimeout limits the time until the first byte of an accepted connection.
	firstByteTimeout = 3 * time.Second
	// nonMemberLifetime limits the connection of a caller that is not a member. It
	// suffices for Join, which waits for the quorum of the catalog.
	nonMemberLifetime = time.Minute
	// acceptRetry is the pause after a failed accept: the host may be out of file
	// descriptors or memory.
	acceptRetry = 200 * time.Millisecond
	// overlayRetry is the pause between attempts to bind to the overlay address.
	overlayRetry  = 5 * time.Second
	shutdownGrace = 2 * time.Second
	// answerGrace is how long the connection of a datacenter that has left stays
	// open for the answer to the call by which it left.
	answerGrace = time.Second
)

// Config configures a Port. All fields are required unless stated otherwise.
type Config struct {
	Listen    netip.AddrPort      // control.listen
	Certifier *identity.Certifier // whose federation is set
	CAs       identity.CAs        // of the catalog; called at each handshake and each call
	// CAsChanged returns a channel that is closed at the next change of CAs that is none
	// of the catalog; nil: there is none.
	CAsChanged func() <-chan struct{}
	// Gateways reports whether the catalog contains a gateway, called as CAs is.
	Gateways func(catalog.GatewayID) bool
	// Replicates reports whether a gateway may open and accept streams of raft. It
	// includes Gateways, and what else a member must reach whose catalog is behind.
	Replicates func(catalog.GatewayID) bool
	// Changed returns a channel that is closed at the next change of the members in the
	// catalog.
	Changed func() <-chan struct{}
	// Index returns the index of the last command in the catalog. If it is nil,
	// refused callers cannot learn that their datacenter was removed.
	Index   func() uint64
	Sockets Sockets
	Service Service
	// Known reports whether an address is one of a gateway in the catalog; nil: none is.
	Known func(netip.Addr) bool
	// Addresses returns the addresses of a gateway, host:port, best first.
	Addresses func(catalog.GatewayID) []string
	Sentinels rpc.Sentinels    // optional: errors of Service that keep their identity over the wire
	Now       func() time.Time // nil: time.Now
	Log       *slog.Logger     // nil: no log
}

// Port is the control port of a member: it accepts connections of other gateways
// and dials them. It closes a connection when the gateway at the other end is removed
// from the catalog.
type Port struct {
	cfg      Config
	trust    trust
	log      *slog.Logger
	sessions *sessions
	budgets  limit.Budgets
	rpc      *connqueue.Queue
	raft     *RaftNetwork
	client   *Client
	http     *http.Server
	overlay  notify.Latest[netip.Addr] // this gateway's overlay address; zero: none

	mu       sync.Mutex // guards all following fields
	listener net.Listener
}

// New returns a control port. Listen binds it, Run serves it.
func New(cfg Config) *Port {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &Port{
		cfg:      cfg,
		trust:    trust{certifier: cfg.Certifier, cas: cfg.CAs, calls: cfg.Gateways, replicates: cfg.Replicates, now: cfg.Now, clocks: newClocks()},
		log:      cfg.Log,
		sessions: newSessions(),
		budgets:  limit.NewBudgets(cfg.Known),
	}
	p.rpc = connqueue.New(p.Addr)
	p.raft = &RaftNetwork{queue: connqueue.New(p.Addr), dial: p.dial}
	p.client = newClient(p.dial, cfg.Addresses, cfg.Sentinels)
	p.http = p.newHTTP()
	return p
}

// Raft returns the network for the streams of raft.
func (p *Port) Raft() *RaftNetwork { return p.raft }

// Client returns the client for calls to other gateways.
func (p *Port) Client() *Client { return p.client }

// Addr returns the bound address, or the configured one before Listen.
func (p *Port) Addr() net.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil {
		return net.TCPAddrFromAddrPort(p.cfg.Listen)
	}
	return p.listener.Addr()
}

// SetOverlay sets this gateway's overlay address, on which Run listens in addition
// to the configured one. The zero address ends that.
func (p *Port) SetOverlay(addr netip.Addr) { p.overlay.Set(addr) }

// Listen binds the port, so that a caller can detect a port in use before it
// changes anything. Run calls it if necessary.
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
	l, err := p.cfg.Sockets.Listen(ctx, p.cfg.Listen, Underlay)
	if err != nil {
		return nil, fmt.Errorf("control.listen: %w", err)
	}
	p.listener = l
	return l, nil
}

// Close releases the port after a Listen without a Run.
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

// Run serves until ctx ends. It then stops accepting, waits up to two seconds for
// calls in progress and closes all connections.
func (p *Port) Run(ctx context.Context) error {
	listener, err := p.listen(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.accept(ctx, listener, p.budgets.Underlay) })
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

// shutdown ends what Run serves: calls first, because they may depend on raft.
func (p *Port) shutdown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	_ = p.Close() // no new connections
	if err := p.http.Shutdown(ctx); err != nil {
		_ = p.http.Close() // ends the calls that took too long
	}
	p.client.close()
	_ = p.raft.Close() // never fails
	p.sessions.close()
}

// accept accepts connections until the listener is closed. It serves each in a
// goroutine that ends when the connection is delivered. budgetOf returns the budget of
// an address.
func (p *Port) accept(ctx context.Context, l net.Listener, budgetOf func(net.Addr) *limit.Budget) error {
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
			p.log.Warn("failed to accept a connection on the control port", "err", err, "retry", acceptRetry)
			if !wait(ctx, acceptRetry) {
				return nil
			}
			continue
		}
		source := limit.SourceOf(raw.RemoteAddr())
		slot, ok := budgetOf(raw.RemoteAddr()).Take(source, func() { _ = raw.Close() })
		if !ok {
			_ = raw.Close() // an answer would cost more
			continue
		}
		handshakes.Go(func() { p.serve(ctx, raw, slot) })
	}
}

// serve completes the handshake of one connection and delivers it to raft or RPC.
func (p *Port) serve(ctx context.Context, raw net.Conn, slot *limit.Slot) {
	under := p.sessions.accepted(raw, slot)
	conn, proof, err := p.handshake(ctx, under)
	if err != nil {
		p.log.Debug("refused a connection to the control port", "address", raw.RemoteAddr().String(), "err", err)
		_ = under.Close() // an error changes nothing
		return
	}
	p.sessions.add(under, proof, conn.ConnectionState().NegotiatedProtocol == protocolRPC)
	switch {
	case !proof.member:
		time.AfterFunc(nonMemberLifetime, func() { _ = under.Close() })
	case !p.trust.holds(proof): // the catalog changed before add, too early for watchTrust
		_ = under.Close()
		return
	default:
		slot.Release()
	}
	if conn.ConnectionState().NegotiatedProtocol == protocolRaft {
		p.raft.queue.Deliver(ctx, memberStream{conn, proof.peer.ID()})
		return
	}
	p.rpc.Deliver(ctx, conn)
}

// handshake accepts members, and other callers only for RPC, where they may join.
func (p *Port) handshake(ctx context.Context, under net.Conn) (*tls.Conn, proof, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	var proved proof
	conn := tls.Server(under, serverTLS(p.cfg.Certifier, func(state tls.ConnectionState) error {
		var err error
		proved, err = p.trust.prove(state, state.NegotiatedProtocol == protocolRaft)
		if state.NegotiatedProtocol == protocolRPC {
			return nil // authorise checks each call
		}
		return err
	}))
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, proof{}, err
	}
	return conn, proved, nil
}

// watchTrust closes the connections of gateways that are removed from the catalog,
// until ctx ends.
func (p *Port) watchTrust(ctx context.Context) error {
	for {
		changed := p.cfg.Changed() // before the check, so that no change is missed
		var replaced <-chan struct{}
		if p.cfg.CAsChanged != nil {
			replaced = p.cfg.CAsChanged()
		}
		remaining := time.Duration(0)
		n := p.sessions.closeIf(func(s *session) bool {
			closeNow, grace := p.expired(s)
			remaining = max(remaining, grace)
			return closeNow
		})
		if n > 0 {
			p.log.Info("closed connections of gateways that are no longer members", "connections", n)
		}
		var graceEnds <-chan time.Time // nil unless some connection has grace left
		if remaining > 0 {
			graceEnds = time.After(remaining)
		}
		select {
		case <-changed:
		case <-replaced:
		case <-graceEnds:
		case <-ctx.Done():
			return nil
		}
	}
}

// expired reports whether a connection has to be closed now, or else how long it
// may stay open, zero if its peer is a member. A connection on which this gateway
// serves calls has answerGrace: the call by which the peer left may have come over
// it, and authorise refuses further ones.
func (p *Port) expired(s *session) (closeNow bool, grace time.Duration) {
	if !s.proof.member || p.trust.holds(s.proof) {
		return false, 0
	}
	if !s.serves {
		return true, 0
	}
	if s.ended.IsZero() {
		s.ended = time.Now()
	}
	grace = answerGrace - time.Since(s.ended)
	return grace <= 0, max(grace, 0)
}

// wait waits for d and reports whether ctx is still active.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

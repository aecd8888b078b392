package control

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// dialTimeout bounds connecting and the handshake together.
	dialTimeout = 10 * time.Second
	// dialStagger is the head start of an address before the next one is tried in
	// parallel (RFC 8305 §5): an overlay that is down does not answer at all.
	dialStagger = 300 * time.Millisecond
)

// UnreachableError reports that no connection to a gateway was established, so
// nothing was sent to it.
type UnreachableError struct {
	Gateway catalog.GatewayID
	Tried   []error // one for each address
}

// Error lists the error of each address.
func (e *UnreachableError) Error() string {
	if len(e.Tried) == 0 {
		return fmt.Sprintf("reach gateway %s: no known address", e.Gateway)
	}
	return fmt.Sprintf("reach gateway %s: %s", e.Gateway, inOneLine(e.Tried))
}

func inOneLine(errs []error) string {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap returns the error of each address.
func (e *UnreachableError) Unwrap() []error { return e.Tried }

// dial connects to an address and verifies that the gateway id answers there.
func (p *Port) dial(ctx context.Context, id catalog.GatewayID, address, protocol string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := p.cfg.Sockets.Dial(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	under := p.sessions.track(raw, nil)
	var proved proof
	conn := tls.Client(under, clientTLS(p.cfg.Certifier.Certificate, protocol, func(state tls.ConnectionState) error {
		var err error
		proved, err = p.trust.requirePeer(state, id)
		return err
	}))
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = under.Close() // the error of the handshake is the one to return
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	p.sessions.add(under, proved, false)
	if !p.trust.holds(proved) { // the catalog changed before add, too early for watchTrust
		_ = under.Close()
		return nil, fmt.Errorf("%s: gateway %s has left the federation", address, id)
	}
	return conn, nil
}

// Answers returns the address, of those given, at which a gateway answers; false if it
// answers at none until ctx ends. It sends no request.
func (p *Port) Answers(ctx context.Context, id catalog.GatewayID, addresses []string) (string, bool) {
	conn, err := dialAny(ctx, id, addresses, func(ctx context.Context, address string) (net.Conn, error) {
		return p.dial(ctx, id, address, protocolRPC)
	})
	if err != nil {
		return "", false
	}
	defer conn.Close() // nothing was sent: an error changes nothing
	return conn.RemoteAddr().String(), true
}

// dialAny returns the first connection to one of the addresses.
func dialAny(ctx context.Context, id catalog.GatewayID, addresses []string, dial func(context.Context, string) (net.Conn, error)) (net.Conn, error) {
	conn, won, failed := race(ctx, len(addresses), func(ctx context.Context, i int) (net.Conn, error) { return dial(ctx, addresses[i]) })
	if won < 0 {
		return nil, &UnreachableError{Gateway: id, Tried: failed}
	}
	return conn, nil
}

// attempt is the result of dialling one address.
type attempt[C io.Closer] struct {
	index int
	conn  C
	err   error
}

// race dials n addresses in order and returns the first connection and the index of its
// address; -1 if all failed. It starts an attempt dialStagger after the previous one, or as
// soon as one fails. All attempts have ended when it returns. Of failed, those that were not
// started or not waited for are nil.
func race[C io.Closer](ctx context.Context, n int, dial func(ctx context.Context, i int) (C, error)) (first C, won int, failed []error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan attempt[C])
	won, failed = -1, make([]error, n)
	running := 0
	for next := 0; won < 0 && (next < n || running > 0); {
		if i := next; i < n {
			next++
			running++
			go func() { // ends before race returns: its result is received
				conn, err := dial(ctx, i)
				results <- attempt[C]{i, conn, err}
			}()
		}
		var stagger <-chan time.Time
		if next < n {
			stagger = time.After(dialStagger)
		}
		select {
		case <-stagger:
		case r := <-results:
			running--
			if r.err != nil {
				failed[r.index] = r.err
			} else {
				first, won = r.conn, r.index
			}
		}
	}
	cancel()
	for ; running > 0; running-- {
		if r := <-results; r.err == nil {
			_ = r.conn.Close() // not needed
		}
	}
	return first, won, failed
}

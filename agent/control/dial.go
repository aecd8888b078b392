package control

import (
	"context"
	"crypto/tls"
	"fmt"
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

// attempt is the result of dialling one address.
type attempt struct {
	conn net.Conn
	err  error
}

// dialAny tries addresses in order and returns the first connection. It starts an
// attempt dialStagger after the previous one, or as soon as one fails. All attempts
// have ended when it returns.
func dialAny(ctx context.Context, id catalog.GatewayID, addresses []string, dial func(context.Context, string) (net.Conn, error)) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan attempt)
	failed := &UnreachableError{Gateway: id}
	var first net.Conn
	running := 0
	for next := 0; first == nil && (next < len(addresses) || running > 0); {
		if next < len(addresses) {
			address := addresses[next]
			next++
			running++
			go func() { // ends before dialAny returns: its result is received
				conn, err := dial(ctx, address)
				results <- attempt{conn, err}
			}()
		}
		var stagger <-chan time.Time
		if next < len(addresses) {
			stagger = time.After(dialStagger)
		}
		select {
		case <-stagger:
		case r := <-results:
			running--
			first = r.conn
			if r.err != nil {
				failed.Tried = append(failed.Tried, r.err)
			}
		}
	}
	cancel()
	for ; running > 0; running-- {
		if r := <-results; r.conn != nil {
			_ = r.conn.Close() // not needed
		}
	}
	if first != nil {
		return first, nil
	}
	return nil, failed
}

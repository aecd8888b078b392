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
	// dialStagger is the head start of a better address before the next one is
	// tried beside it (as RFC 8305 §5): an overlay that is down answers nothing.
	dialStagger = 300 * time.Millisecond
)

// UnreachableError says that no connection to a gateway could be made, hence
// that nothing was sent to it.
type UnreachableError struct {
	Gateway catalog.GatewayID
	Tried   []error // one for each address
}

// Error lists what was tried.
func (e *UnreachableError) Error() string {
	if len(e.Tried) == 0 {
		return fmt.Sprintf("reach gateway %s: no address of it is known", e.Gateway)
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

// Unwrap gives the causes.
func (e *UnreachableError) Unwrap() []error { return e.Tried }

// dial connects to the gateway id at an address and proves that it is there.
func (p *Port) dial(ctx context.Context, id catalog.GatewayID, address, protocol string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := p.config.Sockets.Dial(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	under := p.sessions.track(raw, nil)
	var proved proof
	conn := tls.Client(under, clientTLS(p.config.Certifier.Certificate, protocol, func(state tls.ConnectionState) error {
		var err error
		proved, err = p.trust.requirePeer(state, id)
		return err
	}))
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = under.Close() // the handshake's error is the one to tell
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	p.sessions.add(under, proved, false)
	if !p.trust.holds(proved) { // the catalog changed before add: watchTrust did not see us
		_ = under.Close()
		return nil, fmt.Errorf("%s: %s has left the federation", address, id)
	}
	return conn, nil
}

// attempt is the outcome of dialling one address.
type attempt struct {
	conn net.Conn
	err  error
}

// dialAny tries addresses in order, each one a little after the one before or at
// once when that failed, and returns the first connection. All attempts have
// ended when it returns.
func dialAny(ctx context.Context, id catalog.GatewayID, addresses []string, dial func(context.Context, string) (net.Conn, error)) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes := make(chan attempt)
	failed := &UnreachableError{Gateway: id}
	var first net.Conn
	running := 0
	for next := 0; first == nil && (next < len(addresses) || running > 0); {
		if next < len(addresses) {
			address := addresses[next]
			next++
			running++
			go func() { // waited for: each one's outcome is received
				conn, err := dial(ctx, address)
				outcomes <- attempt{conn, err}
			}()
		}
		var stagger <-chan time.Time
		if next < len(addresses) {
			stagger = time.After(dialStagger)
		}
		select {
		case <-stagger:
		case o := <-outcomes:
			running--
			first = o.conn
			if o.err != nil {
				failed.Tried = append(failed.Tried, o.err)
			}
		}
	}
	cancel()
	for ; running > 0; running-- {
		if o := <-outcomes; o.conn != nil {
			_ = o.conn.Close() // a second one is not needed
		}
	}
	if first != nil {
		return first, nil
	}
	return nil, failed
}

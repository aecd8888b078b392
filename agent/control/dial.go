package control

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/meshway/meshway/agent/control/internal/race"
	"github.com/meshway/meshway/consensus/catalog"
)

// dialTimeout bounds connecting and the handshake together.
const dialTimeout = 10 * time.Second

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
	conn, won, failed := race.Dial(ctx, len(addresses), func(ctx context.Context, i int) (net.Conn, error) { return dial(ctx, addresses[i]) })
	if won < 0 {
		return nil, &UnreachableError{Gateway: id, Tried: failed}
	}
	return conn, nil
}

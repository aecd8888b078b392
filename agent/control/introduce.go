package control

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/rpc"
)

// introduction is a connection of a gateway that has no catalog yet, to one
// gateway that has. It serves for one call.
type introduction struct {
	controlpbconnect.FederationClient
	peer  identity.Peer // who is at the other end
	close func()
}

// introduce does the handshake on raw, which it closes on failure. verify says who
// is at the other end, or why that is nobody to talk to.
func introduce(ctx context.Context, raw net.Conn, certificate *tls.Certificate,
	verify func(chain []*x509.Certificate) (identity.Peer, error),
) (introduction, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var in introduction
	own := func() (*tls.Certificate, error) { return certificate, nil }
	conn := tls.Client(raw, clientTLS(own, protocolRPC, func(state tls.ConnectionState) (err error) {
		in.peer, err = verify(state.PeerCertificates)
		return err
	}))
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close() // the handshake's error is the one to tell
		return introduction{}, err
	}
	transport := newTransport(func(context.Context, string, string) (net.Conn, error) { return conn, nil })
	in.close = func() {
		transport.CloseIdleConnections()
		_ = conn.Close() // the answer is in, or never comes
	}
	in.FederationClient = controlpbconnect.NewFederationClient(&http.Client{Transport: transport},
		"https://introduction.invalid", connect.WithReadMaxBytes(rpc.MaxArchive))
	return in, nil
}

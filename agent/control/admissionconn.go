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

// admissionConn is the connection of a gateway without a catalog to one that has
// the catalog. It carries one call.
type admissionConn struct {
	controlpbconnect.FederationClient
	peer      identity.Peer // verified
	tls       *tls.Conn
	transport *http.Transport
}

// Close closes the connection.
func (c admissionConn) Close() error {
	c.transport.CloseIdleConnections()
	return c.tls.Close()
}

// newAdmissionConn completes the TLS handshake on raw, which it closes on failure.
// verify identifies the peer by its certificates, or rejects it.
func newAdmissionConn(ctx context.Context, raw net.Conn, certificate *tls.Certificate,
	verify func(chain []*x509.Certificate) (identity.Peer, error),
) (admissionConn, error) {
	var admission admissionConn
	own := func() (*tls.Certificate, error) { return certificate, nil }
	conn := tls.Client(raw, clientTLS(own, protocolRPC, func(state tls.ConnectionState) (err error) {
		admission.peer, err = verify(state.PeerCertificates)
		return err
	}))
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close() // the error of the handshake is the one to return
		return admissionConn{}, err
	}
	admission.tls = conn
	admission.transport = newTransport(func(context.Context, string, string) (net.Conn, error) { return conn, nil })
	admission.FederationClient = controlpbconnect.NewFederationClient(&http.Client{Transport: admission.transport},
		"https://admission.invalid", connect.WithReadMaxBytes(rpc.MaxArchive))
	return admission, nil
}

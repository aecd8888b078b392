package control

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
)

// The protocols of a connection, selected by ALPN (RFC 7301).
const (
	protocolRaft = "meshway-raft/1"
	protocolRPC  = "h2" // RFC 9113
)

// ErrWrongPeer is returned if another gateway answers than the one that was
// dialled.
var ErrWrongPeer = errors.New("another gateway answers at that address")

// baseTLS returns what both ends have in common: TLS 1.3 with the hybrid
// post-quantum key exchange only, so that recorded traffic stays unreadable for a
// later quantum computer.
func baseTLS(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion:       tls.VersionTLS13,
		MaxVersion:       tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768},
		NextProtos:       protocols,
		// A resumed session would not be checked against the catalog.
		SessionTicketsDisabled: true,
	}
}

// serverTLS returns the configuration of one accepted connection; verify receives
// the finished handshake. ClientAuth is RequireAnyClientCert: the CAs are in the
// catalog, each is valid for its own datacenter only, and the CA of a datacenter
// that joins is not there yet. crypto/tls verifies that the peer has the key of its
// certificate; verify does the rest.
func serverTLS(certifier *identity.Certifier, verify func(tls.ConnectionState) error) *tls.Config {
	cfg := baseTLS(protocolRaft, protocolRPC)
	cfg.ClientAuth = tls.RequireAnyClientCert
	cfg.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certifier.Certificate() }
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		if err := checkParameters(state, protocolRaft, protocolRPC); err != nil {
			return err
		}
		return verify(state)
	}
	return cfg
}

// clientTLS returns the configuration of one dialled connection.
func clientTLS(certificate func() (*tls.Certificate, error), protocol string, verify func(tls.ConnectionState) error) *tls.Config {
	cfg := baseTLS(protocol)
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate() }
	// This disables only the check of crypto/tls against host names and the roots
	// of the system, which do not apply. verify always runs: it checks the chain
	// against the one CA that is valid and compares the name in the certificate.
	cfg.InsecureSkipVerify = true //nolint:gosec // see above
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		if err := checkParameters(state, protocol); err != nil {
			return err
		}
		return verify(state)
	}
	return cfg
}

// checkParameters verifies that the handshake negotiated what baseTLS allows,
// independently of the defaults of crypto/tls.
func checkParameters(state tls.ConnectionState, protocols ...string) error {
	if state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 {
		return fmt.Errorf("negotiate TLS: %s with %s instead of TLS 1.3 with X25519MLKEM768", tls.VersionName(state.Version), state.CurveID)
	}
	if !slices.Contains(protocols, state.NegotiatedProtocol) {
		return fmt.Errorf("negotiate TLS: application protocol %q is not one of %q", state.NegotiatedProtocol, protocols)
	}
	return nil
}

// requirePeer verifies that the peer of a connection is the gateway id.
func (t trust) requirePeer(state tls.ConnectionState, id catalog.GatewayID) (proof, error) {
	p, err := t.prove(state, true)
	if err != nil {
		return proof{}, err
	}
	if p.peer.ID() != id {
		return proof{}, fmt.Errorf("verify %s: %w: %s", id, ErrWrongPeer, p.peer)
	}
	return p, nil
}

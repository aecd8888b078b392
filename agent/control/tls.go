package control

import (
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
)

// What is spoken on a connection, told by ALPN (RFC 7301).
const (
	protocolRaft = "meshway-raft/1"
	protocolRPC  = "h2" // RFC 9113
)

// ErrWrongPeer says that another gateway answered than the one that was dialled.
var ErrWrongPeer = errors.New("another gateway answers there")

// baseTLS is common to both ends: TLS 1.3 and the hybrid post-quantum key
// exchange, or nothing. What is recorded today is then not read by a quantum
// computer of tomorrow.
func baseTLS(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion:       tls.VersionTLS13,
		MaxVersion:       tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768},
		NextProtos:       protocols,
		// A resumed session would skip the look into the catalog.
		SessionTicketsDisabled: true,
	}
}

// serverTLS is for one accepted connection; verify sees the finished handshake.
// RequireAnyClientCert and not RequireAndVerifyClientCert: the set of CAs is in
// the catalog, each counts for its own datacenter only, and a joining datacenter
// is in none. crypto/tls still proves that the peer holds its certificate's
// key; verify does the rest.
func serverTLS(certifier *identity.Certifier, verify func(tls.ConnectionState) error) *tls.Config {
	config := baseTLS(protocolRaft, protocolRPC)
	config.ClientAuth = tls.RequireAnyClientCert
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certifier.Certificate() }
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if err := checkParameters(state, protocolRaft, protocolRPC); err != nil {
			return err
		}
		return verify(state)
	}
	return config
}

// clientTLS is for one connection that is dialled.
func clientTLS(certificate func() (*tls.Certificate, error), protocol string, verify func(tls.ConnectionState) error) *tls.Config {
	config := baseTLS(protocol)
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate() }
	// The name skips crypto/tls's own check against host names and the system's
	// roots, of which we have neither: verify, which always runs, checks the chain
	// against the one CA that counts and compares the name in it.
	config.InsecureSkipVerify = true //nolint:gosec // see above
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if err := checkParameters(state, protocol); err != nil {
			return err
		}
		return verify(state)
	}
	return config
}

// checkParameters holds what baseTLS asks for, should a default ever change.
func checkParameters(state tls.ConnectionState, protocols ...string) error {
	if state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 {
		return fmt.Errorf("negotiate TLS: %s with %s, want TLS 1.3 with X25519MLKEM768", tls.VersionName(state.Version), state.CurveID)
	}
	for _, protocol := range protocols {
		if state.NegotiatedProtocol == protocol {
			return nil
		}
	}
	return fmt.Errorf("negotiate TLS: application protocol %q, want one of %q", state.NegotiatedProtocol, protocols)
}

// requirePeer wants exactly the gateway that was dialled at the other end.
func (t trust) requirePeer(state tls.ConnectionState, want catalog.GatewayID) (proof, error) {
	p, err := t.prove(state)
	if err != nil {
		return proof{}, err
	}
	if p.peer.ID() != want {
		return proof{}, fmt.Errorf("verify %s: %w: %s", want, ErrWrongPeer, p.peer)
	}
	return p, nil
}

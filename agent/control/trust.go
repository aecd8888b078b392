package control

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/meshway/meshway/agent/identity"
)

// trust verifies the peers of connections. It reads the catalog each time, so a
// datacenter that leaves the federation is no longer trusted at once.
type trust struct {
	certifier *identity.Certifier
	cas       identity.CAs
	now       func() time.Time
}

// proof is what a TLS handshake proved about the peer.
type proof struct {
	chain      []*x509.Certificate
	peer       identity.Peer // zero unless member
	member     bool
	ca         []byte // DER, of the peer's datacenter in the catalog
	federation string // id of the federation of this gateway
}

// prove verifies the peer of a connection. If it is not a member, prove returns
// an error and a proof that peer can verify again.
func (t trust) prove(state tls.ConnectionState) (proof, error) {
	p := proof{chain: state.PeerCertificates, federation: t.certifier.Federation()}
	peer, err := identity.VerifyMember(p.chain, p.federation, t.cas, t.now())
	if err != nil {
		return p, err
	}
	ca, ok := t.cas(peer.Datacenter)
	if !ok { // it left the catalog after VerifyMember
		return p, fmt.Errorf("verify %s: datacenter %s is %w", peer, peer.Datacenter, identity.ErrNotMember)
	}
	p.peer, p.member, p.ca = peer, true, ca
	return p, nil
}

// holds reports whether a member is still one: its datacenter is in the catalog
// with the same CA, and this gateway is in the same federation. It does not check
// the dates of the certificate: they limit handshakes, not open connections.
func (t trust) holds(p proof) bool {
	if !p.member || p.federation != t.certifier.Federation() {
		return false
	}
	ca, ok := t.cas(p.peer.Datacenter)
	return ok && bytes.Equal(ca, p.ca)
}

// peer returns the member that calls on a connection with this proof. It verifies
// the chain again unless p holds: the peer may have joined after its handshake.
func (t trust) peer(p proof) (identity.Peer, error) {
	if t.holds(p) {
		return p.peer, nil
	}
	return identity.VerifyMember(p.chain, t.certifier.Federation(), t.cas, t.now())
}

package control

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/meshway/meshway/agent/identity"
)

// trust decides who is believed. It asks the catalog each time: leaving the
// federation ends trust at once.
type trust struct {
	certifier *identity.Certifier
	cas       identity.CAs
	now       func() time.Time
}

// proof is what a TLS handshake proved about the other end.
type proof struct {
	chain      []*x509.Certificate
	peer       identity.Peer // zero: a stranger
	member     bool
	ca         []byte // DER, of the peer's datacenter, as the catalog had it
	federation string // id, as this gateway was a member of
}

// prove verifies the other end of a connection now.
func (t trust) prove(state tls.ConnectionState) (proof, error) {
	p := proof{chain: state.PeerCertificates, federation: t.certifier.Federation()}
	peer, err := identity.VerifyMember(p.chain, p.federation, t.cas, t.now())
	if err != nil {
		return p, err
	}
	ca, ok := t.cas(peer.Datacenter)
	if !ok { // it left between the two looks
		return p, fmt.Errorf("verify %s: datacenter %s is %w", peer, peer.Datacenter, identity.ErrNotMember)
	}
	p.peer, p.member, p.ca = peer, true, ca
	return p, nil
}

// holds reports whether a member is still one: its datacenter is in the catalog
// with the same CA, and this gateway is in the same federation. It does not look
// at the certificate's dates: they bound the handshake, not a connection.
func (t trust) holds(p proof) bool {
	if !p.member || p.federation != t.certifier.Federation() {
		return false
	}
	ca, ok := t.cas(p.peer.Datacenter)
	return ok && bytes.Equal(ca, p.ca)
}

// peer returns who calls now on a connection with this proof. A stranger may
// have become a member since its handshake.
func (t trust) peer(p proof) (identity.Peer, error) {
	if t.holds(p) {
		return p.peer, nil
	}
	return identity.VerifyMember(p.chain, t.certifier.Federation(), t.cas, t.now())
}

package control

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
)

// trust verifies the peers of connections. It reads the catalog each time, so a
// gateway that leaves the federation is no longer trusted at once, although its
// certificate is valid for some time and a holder of the CA key can issue another.
type trust struct {
	certifier  *identity.Certifier
	cas        identity.CAs
	calls      func(catalog.GatewayID) bool // whether it may call
	replicates func(catalog.GatewayID) bool // whether it may use raft, and be called
	now        func() time.Time
	clocks     *clocks
}

// errNotEnrolled reports that a datacenter is a member, but not this gateway of it.
var errNotEnrolled = errors.New("the catalog does not contain the gateway")

// proof is what a TLS handshake proved about the peer.
type proof struct {
	chain      []*x509.Certificate
	peer       identity.Peer // zero unless member
	member     bool
	replicates bool      // the connection is one of raft or was dialled
	cas        [][]byte  // DER, that were trusted for the peer's datacenter
	at         time.Time // of the handshake
	federation string    // id of the federation of this gateway
}

// prove verifies the peer of a connection; replicates: one of raft or that was
// dialled. If it is not a member, prove returns an error and a proof that peer can
// verify again.
func (t trust) prove(state tls.ConnectionState, replicates bool) (proof, error) {
	p := proof{chain: state.PeerCertificates, federation: t.certifier.Federation(), replicates: replicates, at: t.now()}
	cas := identity.CAs(func(dc catalog.DatacenterName) [][]byte {
		p.cas = t.cas(dc)
		return p.cas
	})
	peer, err := identity.VerifyMember(p.chain, p.federation, cas, p.at)
	if err != nil {
		t.observeDates(p.chain, p.federation, err)
		return p, err
	}
	t.clocks.agrees(peer.ID())
	if !t.known(peer, replicates) {
		return p, fmt.Errorf("verify %s: %w", peer, errNotEnrolled)
	}
	p.peer, p.member = peer, true
	return p, nil
}

// known reports whether a gateway, and not only its datacenter, is a member.
func (t trust) known(peer identity.Peer, replicates bool) bool {
	if replicates {
		return t.replicates(peer.ID())
	}
	return t.calls(peer.ID())
}

// holds reports whether a member is still one: it is in the catalog, a CA of its
// datacenter has issued its certificate, and this gateway is in the same federation. It
// does not check the dates of the certificate: they limit handshakes, not open
// connections.
func (t trust) holds(p proof) bool {
	if !p.member || p.federation != t.certifier.Federation() || !t.known(p.peer, p.replicates) {
		return false
	}
	cas := t.cas(p.peer.Datacenter)
	if len(cas) > 0 && slices.EqualFunc(cas, p.cas, bytes.Equal) {
		return true
	}
	_, err := identity.VerifyMember(p.chain, p.federation, func(catalog.DatacenterName) [][]byte { return cas }, p.at)
	return err == nil
}

// peer returns the member that calls on a connection with this proof. It verifies
// the chain again unless p holds: the peer may have joined after its handshake.
func (t trust) peer(p proof) (identity.Peer, error) {
	if t.holds(p) {
		return p.peer, nil
	}
	peer, err := t.certified(p)
	if err == nil && !t.known(peer, false) {
		return identity.Peer{}, fmt.Errorf("verify %s: %w", peer, errNotEnrolled)
	}
	return peer, err
}

// certified returns the gateway whose certificate a member's CA has issued. It may
// enrol itself.
func (t trust) certified(p proof) (identity.Peer, error) {
	return identity.VerifyMember(p.chain, t.certifier.Federation(), t.cas, t.now())
}

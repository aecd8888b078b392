package identity

import (
	"bytes"
	"errors"
	"net/netip"
	"reflect"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/tunnel/secret"
)

// LockTTL is how long a membership lock is respected. It is longer than an
// init, a join or a leave takes at most.
const LockTTL = 3 * time.Minute

// ErrOutdated means that another gateway has changed the shared state since it
// was read. Nothing was saved.
var ErrOutdated = errors.New("another gateway has changed the shared state of the datacenter")

// SharedState is what the gateways of one datacenter share: the CA of the
// datacenter and its membership. Any of them can act for the datacenter, and a
// new one becomes a gateway without an operator.
type SharedState struct {
	Version     string // of the stored content; a save replaces this version only
	Certificate []byte // of the CA, PEM; empty: there is no CA yet
	Key         CAKey
	NextCert    []byte // of the CA that is to follow, PEM; empty: none was prepared
	NextKey     CAKey
	Lock        *MembershipLock       // nil: no gateway changes the membership
	Membership  *DatacenterMembership // nil: the datacenter is in no federation
	Left        string                // id of the federation that the datacenter left last
	Released    bool                  // hosts no longer guard the prefixes of that federation
}

// MembershipLock is held by the gateway that initializes, joins or leaves a
// federation for the whole datacenter.
type MembershipLock struct {
	Gateway string
	At      time.Time
}

// DatacenterMembership is the membership of a datacenter, with the gateways
// that can admit another one.
type DatacenterMembership struct {
	FederationID   string
	FederationName string
	Overlay        netip.Prefix // of the federation
	Contacts       []Contact    // all gateways of the federation, sorted by id
}

// Contact is a gateway of the federation and how it is authenticated.
type Contact struct {
	Gateway  catalog.GatewayID
	Pin      string                 // of the CA of its datacenter, hex as in a token
	Controls []string               // host:port
	Sponsor  catalog.DatacenterName // what its datacenter counts as (package sponsor); empty: itself
	Until    time.Time              // until when
}

// Equal reports whether both have the same content, in any version.
func (s SharedState) Equal(o SharedState) bool {
	return bytes.Equal(s.Certificate, o.Certificate) && s.Key.Equal(o.Key) && s.Left == o.Left && s.Released == o.Released &&
		bytes.Equal(s.NextCert, o.NextCert) && s.NextKey.Equal(o.NextKey) &&
		reflect.DeepEqual(s.Lock, o.Lock) && reflect.DeepEqual(s.Membership, o.Membership)
}

// LockedBy reports whether the named gateway holds the lock.
func (s SharedState) LockedBy(gateway string) bool { return s.Lock != nil && s.Lock.Gateway == gateway }

// LockedByOther reports whether a gateway other than self holds the lock and
// the lock is younger than LockTTL.
func (s SharedState) LockedByOther(self string, now time.Time) bool {
	return s.Lock != nil && s.Lock.Gateway != self && now.Sub(s.Lock.At) < LockTTL
}

// Gateways returns the names of the gateways of a datacenter.
func (m DatacenterMembership) Gateways(dc catalog.DatacenterName) []string {
	var names []string
	for _, c := range m.Contacts {
		if c.Gateway.Datacenter() == dc {
			names = append(names, c.Gateway.Name())
		}
	}
	return names
}

// CAKey is the private key of a CA, PEM. It prints as "(redacted)".
type CAKey struct{ secret.Value[[]byte] }

// CAKeyOf returns the key with the given text; the zero key if that is empty.
func CAKeyOf(text []byte) CAKey {
	if len(text) == 0 {
		return CAKey{}
	}
	return CAKey{secret.Of(text)}
}

// IsZero reports whether there is no key.
func (k CAKey) IsZero() bool { return len(k.Reveal()) == 0 }

// Equal reports whether both have the same text.
func (k CAKey) Equal(o CAKey) bool { return bytes.Equal(k.Reveal(), o.Reveal()) }

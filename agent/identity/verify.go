package identity

import (
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

var (
	// ErrNotMember says that the catalog holds no such datacenter.
	ErrNotMember = errors.New("not a member of this federation")
	// ErrOtherFederation says that a certificate is of another federation.
	ErrOtherFederation = errors.New("member of another federation")
	// ErrPin says that a peer's CA is not the one that the token names.
	ErrPin = errors.New("the peer's CA is not the one that the token names")
)

// CAs finds the CA certificate (DER) of a member datacenter in the catalog.
// Being found there is what trust means.
type CAs func(catalog.DatacenterName) ([]byte, bool)

// VerifyMember tells which gateway a chain of certificates speaks for. The chain
// must lead to the CA that the catalog holds for the very datacenter that the
// certificate names: no datacenter can speak for another.
// errors.Is finds ErrNotMember and ErrOtherFederation.
func VerifyMember(chain []*x509.Certificate, federation string, cas CAs, now time.Time) (Peer, error) {
	if len(chain) == 0 {
		return Peer{}, errors.New("verify peer: it sent no certificate")
	}
	claimed, _, err := peerOf(chain[0])
	if err != nil {
		return Peer{}, err
	}
	der, ok := cas(claimed.Datacenter)
	if !ok {
		return Peer{}, fmt.Errorf("verify %s: datacenter %s is %w", claimed, claimed.Datacenter, ErrNotMember)
	}
	peer, err := VerifyPossession(chain, der, federation, now)
	if _, foreign := errors.AsType[x509.UnknownAuthorityError](err); foreign {
		// A member's CA never changes: it is another one that took the name.
		return Peer{}, fmt.Errorf("verify %s: the datacenter %s that made it is %w: %w", claimed, claimed.Datacenter, ErrNotMember, err)
	}
	return peer, err
}

// VerifyPossession tells which gateway a chain speaks for, when that is proven
// by the CA certificate (DER) given. On the server's side of a join it proves
// that the caller holds the key of the CA that it hands over.
func VerifyPossession(chain []*x509.Certificate, ca []byte, federation string, now time.Time) (Peer, error) {
	parsed, err := ParseCA(ca)
	if err != nil {
		return Peer{}, err
	}
	return verify(chain, parsed, federation, now)
}

// VerifyPinned tells which gateway a chain speaks for, when all that is known is
// the pin of its CA, which the peer sends along.
// errors.Is finds ErrPin and ErrOtherFederation.
func VerifyPinned(chain []*x509.Certificate, pin Pin, federation string, now time.Time) (Peer, error) {
	if len(chain) == 0 {
		return Peer{}, errors.New("verify peer: it sent no certificate")
	}
	for _, candidate := range chain[1:] {
		got := pinOf(candidate)
		if subtle.ConstantTimeCompare(got[:], pin[:]) == 1 {
			return VerifyPossession(chain, candidate.Raw, federation, now)
		}
	}
	return Peer{}, fmt.Errorf("verify peer: %w", ErrPin)
}

func verify(chain []*x509.Certificate, ca *x509.Certificate, federation string, now time.Time) (Peer, error) {
	if len(chain) == 0 {
		return Peer{}, errors.New("verify peer: it sent no certificate")
	}
	leaf := chain[0]
	peer, of, err := peerOf(leaf)
	if err != nil {
		return Peer{}, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	// No intermediates: a gateway's certificate is signed by the CA itself.
	options := x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	if _, err := leaf.Verify(options); err != nil {
		return Peer{}, fmt.Errorf("verify %s: %w", peer, explain(err, leaf, now))
	}
	// KeyUsages above means "any of these"; both are wanted.
	if leaf.IsCA || !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) ||
		!slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) {
		return Peer{}, fmt.Errorf("verify %s: certificate is not one for both ends of a connection", peer)
	}
	if subtle.ConstantTimeCompare([]byte(of), []byte(federation)) != 1 {
		return Peer{}, fmt.Errorf("verify %s: %w: %s, ours is %s", peer, ErrOtherFederation, of, federation)
	}
	return peer, nil
}

// explain names the clocks when they are the likely cause.
func explain(err error, leaf *x509.Certificate, now time.Time) error {
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	if !ok || invalid.Reason != x509.Expired {
		return err
	}
	return fmt.Errorf("certificate is valid from %s to %s and this host's clock says %s; compare the clocks of both hosts: %w",
		leaf.NotBefore.UTC().Format(time.RFC3339), leaf.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339), err)
}

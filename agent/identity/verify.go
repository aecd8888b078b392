package identity

import (
	"crypto"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

var (
	// ErrNotMember reports that the datacenter is not in the catalog.
	ErrNotMember = errors.New("not a member of this federation")
	// ErrOtherFederation reports that a certificate is for another federation.
	ErrOtherFederation = errors.New("member of another federation")
	// ErrPin reports that a peer's CA does not match the pin of the token.
	ErrPin = errors.New("the CA of the peer does not match the pin of the token")
)

// CAs returns the CA certificates (DER) of a datacenter in the catalog, none if it is
// not a member: its CA, and the former one until it is retired. A CA is trusted only
// while its datacenter is in the catalog.
type CAs func(catalog.DatacenterName) [][]byte

// VerifyMember returns the gateway that a certificate chain identifies. A CA that is
// trusted for the datacenter of this gateway must have signed the certificate, so that a
// datacenter cannot impersonate another one; or one that follows such a CA, as the chain
// proves: the own copy of the catalog may be behind. Errors include ErrNotMember and
// ErrOtherFederation.
func VerifyMember(chain []*x509.Certificate, federation string, cas CAs, now time.Time) (Peer, error) {
	if len(chain) == 0 {
		return Peer{}, errors.New("verify peer: the peer sent no certificate")
	}
	claimed, _, err := peerOf(chain[0])
	if err != nil {
		return Peer{}, err
	}
	trusted := cas(claimed.Datacenter)
	if len(trusted) == 0 {
		return Peer{}, fmt.Errorf("verify %s: datacenter %s is %w", claimed, claimed.Datacenter, ErrNotMember)
	}
	var authorities []*x509.Certificate
	for _, der := range trusted {
		parsed, err := ParseCA(der)
		if err != nil {
			return Peer{}, err
		}
		authorities = append(authorities, parsed)
	}
	peer, err := verifyAny(chain, successors(authorities, chain, federation, claimed.Datacenter), federation, now)
	if _, foreign := errors.AsType[x509.UnknownAuthorityError](err); foreign {
		return Peer{}, fmt.Errorf("verify %s: the datacenter %s that issued the certificate is %w: %w", claimed, claimed.Datacenter, ErrNotMember, err)
	}
	return peer, err
}

// verifyAny is verify with the first authority that issued the certificate.
func verifyAny(chain, authorities []*x509.Certificate, federation string, now time.Time) (peer Peer, err error) {
	for _, ca := range authorities {
		peer, err = verify(chain, ca, federation, now)
		if _, foreign := errors.AsType[x509.UnknownAuthorityError](err); !foreign {
			break
		}
	}
	return peer, err
}

// VerifyPossession returns the gateway that a certificate chain identifies. The CA with
// the given certificate (DER) must have signed it. The server of a join uses it to
// verify that the caller has the key of the CA that it sends.
func VerifyPossession(chain []*x509.Certificate, ca []byte, federation string, now time.Time) (Peer, error) {
	parsed, err := ParseCA(ca)
	if err != nil {
		return Peer{}, err
	}
	return verify(chain, parsed, federation, now)
}

// VerifyPinned returns the gateway that a certificate chain identifies. The chain must
// contain the certificate of its CA, with a key that matches pin, or prove that this CA
// follows one that does. Errors include ErrPin and ErrOtherFederation.
func VerifyPinned(chain []*x509.Certificate, pin Pin, federation string, now time.Time) (Peer, error) {
	if len(chain) == 0 {
		return Peer{}, errors.New("verify peer: the peer sent no certificate")
	}
	for _, candidate := range chain[1:] {
		got := pinOf(candidate)
		if subtle.ConstantTimeCompare(got[:], pin[:]) == 1 {
			return verifyPinned(chain, candidate.Raw, federation, now)
		}
	}
	return Peer{}, fmt.Errorf("verify peer: %w", ErrPin)
}

func verifyPinned(chain []*x509.Certificate, ca []byte, federation string, now time.Time) (Peer, error) {
	claimed, _, err := peerOf(chain[0])
	if err != nil {
		return Peer{}, err
	}
	parsed, err := ParseCA(ca)
	if err != nil {
		return Peer{}, err
	}
	return verifyAny(chain, successors([]*x509.Certificate{parsed}, chain, federation, claimed.Datacenter), federation, now)
}

// Signer is a gateway whose certificate was verified.
type Signer struct {
	Peer
	PublicKey crypto.PublicKey
}

// VerifySigner returns the gateway that signs with the given certificate (DER), which
// the CA must have signed. The dates of the certificate are ignored: a signed record
// stays valid until the next version of it.
func VerifySigner(certificate []byte, ca *x509.Certificate, federation string) (Signer, error) {
	leaf, err := x509.ParseCertificate(certificate)
	if err != nil {
		return Signer{}, fmt.Errorf("read certificate: %w", err)
	}
	peer, err := verify([]*x509.Certificate{leaf}, ca, federation, leaf.NotBefore)
	return Signer{Peer: peer, PublicKey: leaf.PublicKey}, err
}

func verify(chain []*x509.Certificate, ca *x509.Certificate, federation string, now time.Time) (Peer, error) {
	if len(chain) == 0 {
		return Peer{}, errors.New("verify peer: the peer sent no certificate")
	}
	leaf := chain[0]
	peer, of, err := peerOf(leaf)
	if err != nil {
		return Peer{}, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	// No intermediates: the CA itself signs the certificates of gateways.
	options := x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	if _, err := leaf.Verify(options); err != nil {
		return Peer{}, fmt.Errorf("verify %s: %w", peer, explain(err, leaf, now))
	}
	// VerifyOptions.KeyUsages requires one of several usages; both are required.
	if leaf.IsCA || !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) ||
		!slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) {
		return Peer{}, fmt.Errorf("verify %s: the certificate is not for both client and server authentication", peer)
	}
	if subtle.ConstantTimeCompare([]byte(of), []byte(federation)) != 1 {
		return Peer{}, fmt.Errorf("verify %s: %w: %s instead of %s", peer, ErrOtherFederation, of, federation)
	}
	return peer, nil
}

// explain adds the times if the clocks are the likely cause of err.
func explain(err error, leaf *x509.Certificate, now time.Time) error {
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	if !ok || invalid.Reason != x509.Expired {
		return err
	}
	refused := leaf
	if invalid.Cert != nil && !now.Before(leaf.NotBefore) && !now.After(leaf.NotAfter) {
		refused = invalid.Cert // that of the CA
	}
	return &DatesError{NotBefore: refused.NotBefore, NotAfter: refused.NotAfter, Now: now, cause: err}
}

// DatesError reports that a certificate is not valid now, and is valid at another time.
type DatesError struct {
	NotBefore, NotAfter time.Time
	Now                 time.Time // of this host
	cause               error
}

func (e *DatesError) Error() string {
	return fmt.Sprintf("the certificate is valid from %s to %s and this host's clock is at %s; compare the clocks of both hosts: %v",
		e.NotBefore.UTC().Format(time.RFC3339), e.NotAfter.UTC().Format(time.RFC3339), e.Now.UTC().Format(time.RFC3339), e.cause)
}

// Unwrap returns what crypto/x509 reported.
func (e *DatesError) Unwrap() error { return e.cause }

// IssuedFor returns the gateway that a certificate identifies which a trusted CA has
// signed, whatever its dates are. It proves that the CA issued it, and nothing else.
func IssuedFor(leaf *x509.Certificate, federation string, cas CAs) (Peer, error) {
	claimed, of, err := peerOf(leaf)
	if err != nil {
		return Peer{}, err
	}
	for _, der := range cas(claimed.Datacenter) {
		ca, err := ParseCA(der)
		if err == nil && of == federation && leaf.CheckSignatureFrom(ca) == nil {
			return claimed, nil
		}
	}
	return Peer{}, fmt.Errorf("verify %s: no trusted CA has issued the certificate", claimed)
}

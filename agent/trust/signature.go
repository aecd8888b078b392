package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
)

// SignGateway returns g with a signature of the given version.
func SignGateway(certificate *tls.Certificate, federation string, g catalog.Gateway, version uint64) (catalog.Gateway, error) {
	var err error
	g.Signature = catalog.Signature{Version: version, Level: Level}
	g.Signature.Certificate, g.Signature.Value, err = sign(certificate, gatewayStatement(federation, g))
	return g, err
}

// SignDatacenter returns dc with a signature of the given version.
func SignDatacenter(certificate *tls.Certificate, federation string, dc catalog.Datacenter, version uint64) (catalog.Datacenter, error) {
	var err error
	dc.Signature = catalog.Signature{Version: version, Level: Level}
	dc.Signature.Certificate, dc.Signature.Value, err = sign(certificate, datacenterStatement(federation, dc))
	return dc, err
}

func sign(certificate *tls.Certificate, statement []byte) (der, value []byte, err error) {
	key, ok := certificate.PrivateKey.(crypto.Signer)
	if !ok || len(certificate.Certificate) == 0 {
		return nil, nil, errors.New("sign record: the certificate has no key that signs")
	}
	digest := sha256.Sum256(statement)
	value, err = key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, nil, fmt.Errorf("sign record: %w", err)
	}
	return certificate.Certificate[0], value, nil
}

// Sign signs a statement with the key of a certificate, of which it returns the DER.
func Sign(certificate *tls.Certificate, statement []byte) (der, value []byte, err error) {
	return sign(certificate, statement)
}

// Verify returns the gateway that signed a statement, with a certificate (DER) of ca
// (DER).
func (s *Signers) Verify(ca, certificate, statement, value []byte) (identity.Peer, error) {
	signer, err := s.signer(ca, certificate)
	if err != nil {
		return identity.Peer{}, err
	}
	public, ok := signer.PublicKey.(*ecdsa.PublicKey)
	digest := sha256.Sum256(statement)
	if !ok || !ecdsa.VerifyASN1(public, digest[:], value) {
		return identity.Peer{}, errors.New("the signature does not match the record")
	}
	return signer.Peer, nil
}

// Signers verifies the certificates of signatures, each of them once. It is for one
// federation and not safe for concurrent use.
type Signers struct {
	federation  string
	authorities map[string]*x509.Certificate // by DER
	verified    map[signerKey]identity.Signer
}

type signerKey struct{ ca, certificate string }

// NewSigners returns a Signers for a federation.
func NewSigners(federation string) *Signers {
	return &Signers{federation: federation, authorities: map[string]*x509.Certificate{}, verified: map[signerKey]identity.Signer{}}
}

// VerifyGateway verifies that the gateway g itself signed its record, with a
// certificate of one of the CAs (DER).
func (s *Signers) VerifyGateway(cas [][]byte, g catalog.Gateway) error {
	var signer identity.Peer
	err := errors.New("no CA is trusted")
	for _, ca := range cas {
		if signer, err = s.verify(ca, g.Signature, gatewayStatement(s.federation, g)); err == nil {
			break
		}
	}
	if err == nil && signer.ID() != g.ID() {
		err = fmt.Errorf("gateway %s signed the record of %s", signer, g.ID())
	}
	return err
}

// VerifyDatacenter verifies that a gateway of the datacenter signed its record, with
// a certificate of the CA in the record.
func (s *Signers) VerifyDatacenter(dc catalog.Datacenter) error {
	signer, err := s.verify(dc.CACertificate, dc.Signature, datacenterStatement(s.federation, dc))
	if err == nil && signer.Datacenter != dc.Name {
		err = fmt.Errorf("gateway %s signed the record of datacenter %s", signer, dc.Name)
	}
	return err
}

func (s *Signers) verify(ca []byte, signature catalog.Signature, statement []byte) (identity.Peer, error) {
	if signature.Level == 0 || signature.Level > Level {
		return identity.Peer{}, fmt.Errorf("the signature has feature level %d and this build supports up to %d", signature.Level, Level)
	}
	return s.Verify(ca, signature.Certificate, statement, signature.Value)
}

func (s *Signers) signer(ca, certificate []byte) (identity.Signer, error) {
	key := signerKey{string(ca), string(certificate)}
	if signer, ok := s.verified[key]; ok {
		return signer, nil
	}
	authority, err := s.authority(ca)
	if err != nil {
		return identity.Signer{}, err
	}
	signer, err := identity.VerifySigner(certificate, authority, s.federation)
	if err == nil {
		s.verified[key] = signer
	}
	return signer, err
}

// authority parses the certificate of a CA.
func (s *Signers) authority(ca []byte) (*x509.Certificate, error) {
	if authority, ok := s.authorities[string(ca)]; ok {
		return authority, nil
	}
	authority, err := identity.ParseCA(ca)
	if err == nil {
		s.authorities[string(ca)] = authority
	}
	return authority, err
}

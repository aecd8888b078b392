package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/url"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

const (
	caLife = 10 * 365 * 24 * time.Hour
	// caBackdate lets a CA be accepted by peers whose clock is behind ours.
	caBackdate = 24 * time.Hour

	certificateLife = 24 * time.Hour
	// certificateBackdate is the clock difference between peers that is forgiven.
	certificateBackdate = 5 * time.Minute

	// maxCASize bounds what a stranger can put into the catalog as its CA, bytes.
	maxCASize = 4096
)

// Pin is the SHA-256 of a CA's public key (SubjectPublicKeyInfo, as RFC 7469
// §2.4): it names the key, not one certificate of it.
type Pin [sha256.Size]byte

// String prints the pin as hex; it is not a secret.
func (p Pin) String() string { return hex.EncodeToString(p[:]) }

// CA is the certificate authority of one datacenter. Its key never leaves the
// datacenter: it is in no message and no log.
type CA struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// NewCA makes the CA of a datacenter: ECDSA P-256, self-signed, 10 years.
func NewCA(dc catalog.DatacenterName, now time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate CA key: %w", err)
	}
	return selfSign(key, dc, now)
}

func selfSign(key crypto.Signer, dc catalog.DatacenterName, now time.Time) (*CA, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"Meshway"}, CommonName: string(dc)},
		NotBefore:             now.Add(-caBackdate),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // it signs gateways, not further CAs
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign CA certificate: %w", err)
	}
	certificate, err := ParseCA(der)
	if err != nil {
		return nil, err
	}
	return &CA{certificate: certificate, key: key}, nil
}

// Datacenter returns the datacenter that the CA was made for.
func (c *CA) Datacenter() catalog.DatacenterName {
	return catalog.DatacenterName(c.certificate.Subject.CommonName)
}

// Certificate returns the CA's certificate, DER.
func (c *CA) Certificate() []byte { return bytes.Clone(c.certificate.Raw) }

// Pin returns what a token names the CA by.
func (c *CA) Pin() Pin { return pinOf(c.certificate) }

// String names the CA and nothing of its key.
func (c *CA) String() string { return "CA of " + string(c.Datacenter()) + " (key redacted)" }

// GoString is String: %#v must not print the key.
func (c *CA) GoString() string { return c.String() }

// LogValue is String.
func (c *CA) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Issue makes a certificate with a new key for a gateway of the CA's
// datacenter: 24 h, for both ends of a connection. The chain includes the CA's
// certificate, since a joining peer knows it by its pin only.
func (c *CA) Issue(gateway, federation string, now time.Time) (*tls.Certificate, error) {
	peer := Peer{Datacenter: c.Datacenter(), Gateway: gateway}
	if !isLabel(gateway) || !isLabel(federation) {
		return nil, fmt.Errorf("issue certificate: gateway %q or federation id %q is no DNS label", gateway, federation)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate key of %s: %w", peer, err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: gateway},
		NotBefore:    now.Add(-certificateBackdate),
		NotAfter:     now.Add(certificateLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:         []*url.URL{peer.uri(federation)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.certificate, key.Public(), c.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate of %s: %w", peer, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse certificate of %s: %w", peer, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, c.certificate.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// ParseCA reads a CA certificate (DER) that another datacenter gave and checks
// that it can serve as one: self-signed, for signing, with a key that we accept.
func ParseCA(der []byte) (*x509.Certificate, error) {
	if len(der) > maxCASize {
		return nil, fmt.Errorf("parse CA certificate: %d bytes, at most %d are accepted", len(der), maxCASize)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse CA certificate: %w", err)
	}
	switch key := ca.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return nil, errors.New("parse CA certificate: its key is of an elliptic curve other than P-256 and P-384")
		}
	case ed25519.PublicKey:
	default:
		return nil, errors.New("parse CA certificate: its key is neither ECDSA nor Ed25519")
	}
	if !ca.IsCA || !ca.BasicConstraintsValid || ca.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, errors.New("parse CA certificate: it may not sign certificates")
	}
	if err := ca.CheckSignatureFrom(ca); err != nil {
		return nil, fmt.Errorf("parse CA certificate: it is not self-signed: %w", err)
	}
	return ca, nil
}

// PinOf returns the pin of a CA certificate (DER).
func PinOf(der []byte) (Pin, error) {
	ca, err := ParseCA(der)
	if err != nil {
		return Pin{}, err
	}
	return pinOf(ca), nil
}

func pinOf(c *x509.Certificate) Pin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

func newSerial() (*big.Int, error) {
	// 127 bits: positive and at most 20 octets (RFC 5280 §4.1.2.2).
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("generate serial number: %w", err)
	}
	return serial, nil
}

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
	"math/big"
	"net/url"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/tunnel/secret"
)

const (
	caLife = 10 * 365 * 24 * time.Hour
	// CABackdate makes a CA valid for peers whose clocks are behind ours.
	CABackdate = 24 * time.Hour

	certificateLife = 24 * time.Hour
	// certificateBackdate is the tolerated clock difference between peers.
	certificateBackdate = 5 * time.Minute

	// maxCASize bounds the CA certificate that a joining datacenter can put into
	// the catalog, in bytes.
	maxCASize = 4096
)

// Pin is the SHA-256 of a CA's public key (SubjectPublicKeyInfo, RFC 7469 §2.4). It
// identifies the key, not one certificate of it.
type Pin [sha256.Size]byte

// String returns the pin as hexadecimal. A pin is not a secret.
func (p Pin) String() string { return hex.EncodeToString(p[:]) }

// MarshalText returns String.
func (p Pin) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText parses the text of String.
func (p *Pin) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(string(text))
	if err != nil || len(raw) != len(p) {
		return fmt.Errorf("parse pin: want %d hexadecimal digits", 2*len(p))
	}
	copy(p[:], raw)
	return nil
}

// CA is the certificate authority of one datacenter. Its private key never leaves
// the datacenter and is not in any log.
type CA struct {
	certificate *x509.Certificate
	key         secret.Value[crypto.Signer] // that of nil: there is none
}

// NewCA creates the CA of a datacenter: ECDSA P-256, self-signed, valid for 10 years.
func NewCA(dc catalog.DatacenterName, now time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate CA key: %w", err)
	}
	return selfSign(key, dc, now)
}

func selfSign(key crypto.Signer, dc catalog.DatacenterName, now time.Time) (*CA, error) {
	template, err := caTemplate(dc, now)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign CA certificate: %w", err)
	}
	certificate, err := ParseCA(der)
	if err != nil {
		return nil, err
	}
	return &CA{certificate: certificate, key: secret.Of(key)}, nil
}

// caTemplate returns what the certificates of all CA keys of a datacenter have in common.
func caTemplate(dc catalog.DatacenterName, now time.Time) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"Meshway"}, CommonName: string(dc)},
		NotBefore:             now.Add(-CABackdate),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // it signs certificates of gateways, not of other CAs
	}, nil
}

// Datacenter returns the datacenter that the CA was created for.
func (c *CA) Datacenter() catalog.DatacenterName {
	return catalog.DatacenterName(c.certificate.Subject.CommonName)
}

// Certificate returns the CA's certificate in DER.
func (c *CA) Certificate() []byte { return bytes.Clone(c.certificate.Raw) }

// Validity returns the validity period of the CA's certificate.
func (c *CA) Validity() (begin, end time.Time) {
	return c.certificate.NotBefore, c.certificate.NotAfter
}

// ValidAt reports whether the certificate of the CA is valid at a time.
func (c *CA) ValidAt(t time.Time) bool {
	return !t.Before(c.certificate.NotBefore) && !t.After(c.certificate.NotAfter)
}

// Pin returns the pin of the CA's key.
func (c *CA) Pin() Pin { return pinOf(c.certificate) }

// String describes the CA without its key.
func (c *CA) String() string { return "CA of " + string(c.Datacenter()) + " (key redacted)" }

// Issue creates a certificate with a new key for a gateway of the CA's datacenter. It
// is valid for 24 hours, for client and server authentication. The chain includes
// the CA's certificate, because a joining peer has only its pin.
func (c *CA) Issue(gateway, federation string, now time.Time) (*tls.Certificate, error) {
	peer := Peer{Datacenter: c.Datacenter(), Gateway: gateway}
	if !isLabel(gateway) || !isLabel(federation) {
		return nil, fmt.Errorf("issue certificate: gateway %q or federation id %q is not a DNS label", gateway, federation)
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
	der, err := x509.CreateCertificate(rand.Reader, template, c.certificate, key.Public(), c.key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("sign certificate of %s: %w", peer, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse certificate of %s: %w", peer, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, c.certificate.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// Encode returns the CA as PEM: its certificate, and its private key (PKCS #8), which
// must not leave the gateways of its datacenter.
func (c *CA) Encode() (certificate []byte, key CAKey, err error) {
	text, err := encodeKey(c.key.Reveal())
	if err != nil {
		return nil, CAKey{}, err
	}
	return encodeCertificate(c.certificate.Raw), CAKeyOf(text), nil
}

// Equal reports whether c and other have the same certificate.
func (c *CA) Equal(other *CA) bool { return c.certificate.Equal(other.certificate) }

// ErrOtherDatacenter reports that a CA was created for another datacenter.
var ErrOtherDatacenter = errors.New("the CA belongs to another datacenter")

// DecodeCA parses the output of Encode. The error is ErrOtherDatacenter if the CA was
// created for a datacenter other than dc. Errors do not quote the key.
func DecodeCA(dc catalog.DatacenterName, certificate []byte, key CAKey) (*CA, error) {
	parsed, err := decodeCertificate(certificate)
	if err != nil {
		return nil, fmt.Errorf("read CA certificate: %w", err)
	}
	signer, err := decodeKey(key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("read CA key: %w", err)
	}
	if !samePublicKey(parsed.PublicKey, signer.Public()) {
		return nil, errors.New("read CA: the certificate and the key do not belong together")
	}
	ca := &CA{certificate: parsed, key: secret.Of(signer)}
	if ca.Datacenter() != dc {
		return nil, fmt.Errorf("read CA: %w: %q instead of %q", ErrOtherDatacenter, ca.Datacenter(), dc)
	}
	return ca, nil
}

// ParseCA parses the CA certificate (DER) of another datacenter. The certificate must
// be self-signed, permit signing, and have an ECDSA P-256, ECDSA P-384 or Ed25519
// key.
func ParseCA(der []byte) (*x509.Certificate, error) {
	if len(der) > maxCASize {
		return nil, fmt.Errorf("parse CA certificate: %d bytes exceed the maximum of %d", len(der), maxCASize)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse CA certificate: %w", err)
	}
	switch key := ca.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return nil, errors.New("parse CA certificate: the elliptic curve of the key is neither P-256 nor P-384")
		}
	case ed25519.PublicKey:
	default:
		return nil, errors.New("parse CA certificate: the key is neither ECDSA nor Ed25519")
	}
	if !ca.IsCA || !ca.BasicConstraintsValid || ca.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, errors.New("parse CA certificate: the certificate does not permit signing certificates")
	}
	if err := ca.CheckSignatureFrom(ca); err != nil {
		return nil, fmt.Errorf("parse CA certificate: the certificate is not self-signed: %w", err)
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

// PinOfCA returns the pin of a CA certificate that ParseCA returned.
func PinOfCA(ca *x509.Certificate) Pin { return pinOf(ca) }

func pinOf(c *x509.Certificate) Pin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

func newSerial() (*big.Int, error) {
	// 127 bits: positive and at most 20 octets (RFC 5280 §4.1.2.2).
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("generate serial number: %w", err)
	}
	return serial, nil
}

package identity

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// Types of PEM blocks (RFC 7468 §5, §10).
const (
	pemCertificate = "CERTIFICATE"
	pemKey         = "PRIVATE KEY"
)

// signCA creates and stores the CA certificate for key.
func (s *Store) signCA(key crypto.Signer, dc catalog.DatacenterName, now time.Time) (*CA, error) {
	ca, err := selfSign(key, dc, now)
	if err != nil {
		return nil, err
	}
	return ca, s.write(caCertificateFile, encodeCertificate(ca.certificate.Raw))
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der})
}

func decodeCertificate(text []byte) (*x509.Certificate, error) {
	der, err := decodePEM(text, pemCertificate)
	if err != nil {
		return nil, err
	}
	return ParseCA(der)
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode CA key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}

func decodeKey(text []byte) (crypto.Signer, error) {
	der, err := decodePEM(text, pemKey)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		// The error of the parser may quote the key.
		return nil, errors.New("not a PKCS #8 private key")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key cannot sign")
	}
	return signer, nil
}

func decodePEM(text []byte, want string) ([]byte, error) {
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, errors.New("not PEM")
	}
	if block.Type != want {
		return nil, fmt.Errorf("the PEM block is %q, want %q", block.Type, want)
	}
	if len(strings.TrimSpace(string(rest))) > 0 {
		return nil, errors.New("more than one PEM block")
	}
	return block.Bytes, nil
}

func samePublicKey(a, b crypto.PublicKey) bool {
	comparable, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && comparable.Equal(b)
}

package identity

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/meshway/meshway/consensus/catalog"
)

// Encode returns the CA as PEM: its certificate, and its key (PKCS #8), which
// only the gateways of its datacenter may see.
func (c *CA) Encode() (certificate, key []byte, err error) {
	key, err = encodeKey(c.key)
	if err != nil {
		return nil, nil, err
	}
	return encodeCertificate(c.certificate.Raw), key, nil
}

// Equal reports whether both are the same CA, by certificate.
func (c *CA) Equal(other *CA) bool { return c.certificate.Equal(other.certificate) }

// ErrOtherDatacenter says that a CA was made for a datacenter of another name.
var ErrOtherDatacenter = errors.New("it is of another datacenter")

// DecodeCA reads what Encode wrote and checks that it is a CA of the datacenter.
// One of another datacenter is ErrOtherDatacenter. Errors quote nothing of the key.
func DecodeCA(dc catalog.DatacenterName, certificate, key []byte) (*CA, error) {
	parsed, err := decodeCertificate(certificate)
	if err != nil {
		return nil, fmt.Errorf("read CA certificate: %w", err)
	}
	signer, err := decodeKey(key)
	if err != nil {
		return nil, fmt.Errorf("read CA key: %w", err)
	}
	if !samePublicKey(parsed.PublicKey, signer.Public()) {
		return nil, errors.New("read CA: its certificate and its key do not belong together")
	}
	ca := &CA{certificate: parsed, key: signer}
	if ca.Datacenter() != dc {
		return nil, fmt.Errorf("read CA: %w: of %q, and this one is %q", ErrOtherDatacenter, ca.Datacenter(), dc)
	}
	return ca, nil
}

// AdoptCA takes the CA that this datacenter's gateways share in the place of the
// directory's own, which nobody knows yet. A gateway that is a member with
// another CA is refused: the others know it by that.
func (s *Store) AdoptCA(ca *CA) error {
	have, err := s.haveCA()
	if err != nil {
		return err
	}
	if have != nil && have.Equal(ca) {
		return nil
	}
	_, member, err := s.Membership()
	if err != nil {
		return err
	}
	if member {
		return fmt.Errorf("adopt CA in %s: the gateway is a member with another CA; run \"meshctl leave\" first", s.dir)
	}
	text, err := encodeKey(ca.key)
	if err != nil {
		return err
	}
	// A key without certificate is completed by CA, the certificate of another
	// key is corrupt: so it goes first.
	if err := s.root.Remove(caCertificateFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("adopt CA: %w", err)
	}
	if err := s.write(caKeyFile, text); err != nil {
		return err
	}
	return s.write(caCertificateFile, encodeCertificate(ca.certificate.Raw))
}

// haveCA reads the directory's CA; nil: there is none, or only a half.
func (s *Store) haveCA() (*CA, error) {
	keyText, err := s.readPrivate(caKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	text, err := s.read(caCertificateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	key, err := decodeKey(keyText)
	if err != nil {
		return nil, s.corrupt(caKeyFile, err)
	}
	certificate, err := decodeCertificate(text)
	if err != nil {
		return nil, s.corrupt(caCertificateFile, err)
	}
	return &CA{certificate: certificate, key: key}, nil
}

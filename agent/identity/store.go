package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/tunnel"
	"github.com/meshway/meshway/tunnel/secret"
)

// The files of a data directory.
const (
	caKeyFile         = "ca.key"      // PEM, PKCS #8
	caCertificateFile = "ca.crt"      // PEM
	nextKeyFile       = "ca.next.key" // of the CA that is to follow; see NextCA
	nextCertFile      = "ca.next.crt"
	wireguardKeyFile  = "wireguard.key"   // base64, as wg genkey prints it
	membershipFile    = "federation.json" // see Membership
	raftDir           = "raft"            // the local copy of the catalog
)

// Store is the data directory of one gateway. It replaces files atomically and never
// overwrites a key of a member.
type Store struct {
	dir  string
	root *os.Root // no symbolic link in the directory leads out of it
	// Clock returns the time at which certificates are issued and verified; nil: time.Now.
	Clock func() time.Time
}

// Now returns the time of the clock.
func (s *Store) Now() time.Time {
	if s.Clock == nil {
		return time.Now()
	}
	return s.Clock()
}

// Open opens the data directory and creates it if it does not exist. The directory
// must belong to this user or to root; its mode becomes 0700. Open completes a leave
// that was interrupted.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	if err := checkDirectory(dir); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	s := &Store{dir: dir, root: root}
	if err := s.finishLeave(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return s, nil
}

// Close releases the directory.
func (s *Store) Close() error { return s.root.Close() }

// Dir returns the path of the data directory.
func (s *Store) Dir() string { return s.dir }

// RaftDir returns the path of the directory for the local copy of the catalog.
func (s *Store) RaftDir() string { return filepath.Join(s.dir, raftDir) }

// CA returns the CA of the datacenter. The first call creates it. If the stored CA is
// for another datacenter, or its certificate is not valid now, CA signs a new certificate
// for dc with the same key: the name may change until the gateway is a member, for example
// because it was taken, and the clock may have been wrong. For a member, CA returns an
// error if the name differs, and a certificate that is not valid as it is.
func (s *Store) CA(dc catalog.DatacenterName, now time.Time) (*CA, error) {
	ca, err := s.loadCA(dc, now)
	if err != nil {
		return nil, err
	}
	named := ca.Datacenter() == dc
	if named && ca.ValidAt(now) {
		return ca, nil
	}
	_, member, err := s.Membership()
	switch {
	case err != nil:
		return nil, err
	case member && named:
		return ca, nil
	case member:
		return nil, s.mismatchError("datacenter", string(ca.Datacenter()), string(dc))
	}
	return s.signCA(ca.key.Reveal(), dc, now)
}

func (s *Store) loadCA(dc catalog.DatacenterName, now time.Time) (*CA, error) {
	ca, err := s.readCA()
	switch {
	case err != nil:
		return nil, err
	case ca.key.Reveal() == nil:
		return s.makeCA(dc, now)
	case ca.certificate == nil:
		// A crash interrupted makeCA, which writes the key first. The key
		// identifies the CA, so a new certificate restores it.
		return s.signCA(ca.key.Reveal(), dc, now)
	case !samePublicKey(ca.certificate.PublicKey, ca.key.Reveal().Public()):
		return nil, s.corruptError(caCertificateFile, fmt.Errorf("the certificate does not belong to %s", caKeyFile))
	}
	return ca, nil
}

// readCA reads the files of the CA. The key is nil if there is no CA, the certificate
// is nil if it is missing. It does not check that they belong together.
func (s *Store) readCA() (*CA, error) {
	text, err := s.readPrivate(caKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return &CA{}, nil
	}
	if err != nil {
		return nil, err
	}
	key, err := decodeKey(text)
	if err != nil {
		return nil, s.corruptError(caKeyFile, err)
	}
	text, err = s.read(caCertificateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return &CA{key: secret.Of(key)}, nil
	}
	if err != nil {
		return nil, err
	}
	certificate, err := decodeCertificate(text)
	if err != nil {
		return nil, s.corruptError(caCertificateFile, err)
	}
	return &CA{certificate: certificate, key: secret.Of(key)}, nil
}

// makeCA creates a CA in an unused directory. A directory with a certificate or of a
// member had a key before, and other members would not trust a new one.
func (s *Store) makeCA(dc catalog.DatacenterName, now time.Time) (*CA, error) {
	if err := s.checkNotMember(caKeyFile); err != nil {
		return nil, err
	}
	if _, err := s.root.Lstat(caCertificateFile); err == nil {
		return nil, s.missingError(caKeyFile, "to give the datacenter a new CA, remove "+s.path(caCertificateFile))
	}
	ca, err := NewCA(dc, now)
	if err != nil {
		return nil, err
	}
	text, err := encodeKey(ca.key.Reveal())
	if err != nil {
		return nil, err
	}
	if err := s.write(caKeyFile, text); err != nil {
		return nil, err
	}
	return ca, s.write(caCertificateFile, encodeCertificate(ca.certificate.Raw))
}

// AdoptCA replaces the CA of the directory with ca, which the gateways of this
// datacenter share. It refuses to do so if the gateway is a member with another CA,
// because the other members trust that one.
func (s *Store) AdoptCA(ca *CA) error {
	have, err := s.readCA()
	if err != nil {
		return err
	}
	if have.certificate != nil && have.Equal(ca) {
		return nil
	}
	_, member, err := s.Membership()
	if err != nil {
		return err
	}
	if member {
		return fmt.Errorf("adopt CA in %s: the gateway is a member with another CA; run \"meshctl leave\" first", s.dir)
	}
	return s.writeCA(ca)
}

// writeCA replaces the CA.
func (s *Store) writeCA(ca *CA) error {
	text, err := encodeKey(ca.key.Reveal())
	if err != nil {
		return err
	}
	// The certificate is removed first: after a crash, CA completes a key without
	// a certificate but reports the certificate of another key as corrupt.
	if err := s.root.Remove(caCertificateFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("adopt CA: %w", err)
	}
	if err := s.write(caKeyFile, text); err != nil {
		return err
	}
	return s.write(caCertificateFile, encodeCertificate(ca.certificate.Raw))
}

// WireGuardKey returns the host's WireGuard key. The first call creates it.
func (s *Store) WireGuardKey() (tunnel.PrivateKey, error) {
	text, err := s.readPrivate(wireguardKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return s.makeWireGuardKey()
	}
	if err != nil {
		return tunnel.PrivateKey{}, err
	}
	key, err := tunnel.ParsePrivateKey(string(text))
	if err != nil {
		return tunnel.PrivateKey{}, s.corruptError(wireguardKeyFile, err)
	}
	return key, nil
}

func (s *Store) makeWireGuardKey() (tunnel.PrivateKey, error) {
	if err := s.checkNotMember(wireguardKeyFile); err != nil {
		return tunnel.PrivateKey{}, err
	}
	key, err := tunnel.NewPrivateKey()
	if err != nil {
		return tunnel.PrivateKey{}, err
	}
	return key, s.write(wireguardKeyFile, []byte(key.Secret()+"\n"))
}

// checkNotMember refuses to create a key for a gateway that is a member, because the
// other members have the missing one.
func (s *Store) checkNotMember(name string) error {
	_, member, err := s.Membership()
	if err != nil {
		return err
	}
	if member {
		return s.missingError(name, "to give the gateway a new identity, remove the whole directory and join again")
	}
	return nil
}

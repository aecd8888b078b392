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
)

// The files of a data directory.
const (
	caKeyFile         = "ca.key"          // PEM, PKCS #8
	caCertificateFile = "ca.crt"          // PEM
	wireguardKeyFile  = "wireguard.key"   // base64, as wg genkey prints it
	membershipFile    = "federation.json" // see Membership
	raftDir           = "raft"            // of package consensus
)

// Store is the data directory of one gateway. Its files are written whole or
// not at all, and a key that exists is never overwritten.
type Store struct {
	dir  string
	root *os.Root // no symbolic link in the directory leads out of it
}

// Open opens the data directory and makes it if it is missing. The directory has
// to belong to this user; it is given mode 0700. A leave that was interrupted
// is brought to its end.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make data directory: %w", err)
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

// RaftDir returns the path of the directory that belongs to package consensus.
func (s *Store) RaftDir() string { return filepath.Join(s.dir, raftDir) }

// CA returns the CA of the datacenter. The first call makes it. Until the gateway is
// a member nobody else knows the CA: the datacenter may still be called otherwise,
// for example because its first name was taken. Of a member that is refused.
func (s *Store) CA(dc catalog.DatacenterName, now time.Time) (*CA, error) {
	ca, err := s.loadCA(dc, now)
	if err != nil {
		return nil, err
	}
	if ca.Datacenter() == dc {
		return ca, nil
	}
	_, member, err := s.Membership()
	if err != nil {
		return nil, err
	}
	if member {
		return nil, s.foreign("datacenter", string(ca.Datacenter()), string(dc))
	}
	return s.certifyKey(ca.key, dc, now)
}

func (s *Store) loadCA(dc catalog.DatacenterName, now time.Time) (*CA, error) {
	keyText, err := s.readPrivate(caKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return s.makeCA(dc, now)
	}
	if err != nil {
		return nil, err
	}
	key, err := decodeKey(keyText)
	if err != nil {
		return nil, s.corrupt(caKeyFile, err)
	}
	text, err := s.read(caCertificateFile)
	if errors.Is(err, fs.ErrNotExist) {
		// The key is written first: a crash came between. The certificate is
		// worth nothing without it and anything can be signed with it, so that
		// signing it again restores the same CA.
		return s.certifyKey(key, dc, now)
	}
	if err != nil {
		return nil, err
	}
	certificate, err := decodeCertificate(text)
	if err != nil {
		return nil, s.corrupt(caCertificateFile, err)
	}
	if !samePublicKey(certificate.PublicKey, key.Public()) {
		return nil, s.corrupt(caCertificateFile, fmt.Errorf("it does not belong to %s", caKeyFile))
	}
	return &CA{certificate: certificate, key: key}, nil
}

// makeCA makes a CA in an unused directory. One that has a certificate or is a
// member had a key: another CA in its place would be a stranger to all others.
func (s *Store) makeCA(dc catalog.DatacenterName, now time.Time) (*CA, error) {
	if err := s.neverUsed(caKeyFile); err != nil {
		return nil, err
	}
	if _, err := s.root.Lstat(caCertificateFile); err == nil {
		return nil, s.lost(caKeyFile, "to give the datacenter a new CA, remove "+s.path(caCertificateFile))
	}
	ca, err := NewCA(dc, now)
	if err != nil {
		return nil, err
	}
	text, err := encodeKey(ca.key)
	if err != nil {
		return nil, err
	}
	if err := s.write(caKeyFile, text); err != nil {
		return nil, err
	}
	return ca, s.write(caCertificateFile, encodeCertificate(ca.certificate.Raw))
}

// WireGuardKey returns the host's WireGuard key. The first call makes it.
func (s *Store) WireGuardKey() (tunnel.PrivateKey, error) {
	text, err := s.readPrivate(wireguardKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return s.makeWireGuardKey()
	}
	if err != nil {
		return tunnel.PrivateKey{}, err
	}
	key, err := decodeWireGuardKey(text)
	if err != nil {
		return tunnel.PrivateKey{}, s.corrupt(wireguardKeyFile, err)
	}
	return key, nil
}

func (s *Store) makeWireGuardKey() (tunnel.PrivateKey, error) {
	if err := s.neverUsed(wireguardKeyFile); err != nil {
		return tunnel.PrivateKey{}, err
	}
	key, err := newWireGuardKey()
	if err != nil {
		return tunnel.PrivateKey{}, err
	}
	return key, s.write(wireguardKeyFile, encodeWireGuardKey(key))
}

// neverUsed refuses to make a key anew for a gateway that is a member: the
// others know it by the one that is gone.
func (s *Store) neverUsed(name string) error {
	_, member, err := s.Membership()
	if err != nil {
		return err
	}
	if member {
		return s.lost(name, "to give the gateway a new identity, remove the whole directory, then join again")
	}
	return nil
}

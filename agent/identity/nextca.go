package identity

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/meshway/meshway/consensus/catalog"
)

// NextCA returns the CA that is to follow that of the datacenter, nil if none was
// prepared. It is stored before the catalog announces it, so that no CA is announced
// whose key may be lost.
func (s *Store) NextCA(dc catalog.DatacenterName) (*CA, error) {
	key, err := s.readPrivate(nextKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	certificate, err := s.read(nextCertFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a crash interrupted SaveNextCA
	}
	if err != nil {
		return nil, err
	}
	ca, err := DecodeCA(dc, certificate, CAKeyOf(key))
	if err != nil {
		return nil, s.corruptError(nextKeyFile, err)
	}
	return ca, nil
}

// SaveNextCA stores the CA that is to follow. The key is written first: NextCA ignores
// a key without a certificate.
func (s *Store) SaveNextCA(ca *CA) error {
	certificate, key, err := ca.Encode()
	if err != nil {
		return err
	}
	if err := s.removeFile(nextCertFile); err != nil {
		return err
	}
	if err := s.write(nextKeyFile, key.Reveal()); err != nil {
		return err
	}
	return s.write(nextCertFile, certificate)
}

// ReplaceCA replaces the CA of a member by one that the catalog has for its datacenter.
// A crash in between leaves the key of the new CA, or the prepared files, from which
// the same call works again, or a part of the prepared files; see RemoveUsedCA.
func (s *Store) ReplaceCA(ca *CA) error {
	have, err := s.readCA()
	if err != nil {
		return err
	}
	if have.certificate == nil || !have.Equal(ca) {
		if err := s.writeCA(ca); err != nil {
			return err
		}
	}
	return s.removePrepared()
}

// RemoveUsedCA removes what a crash in ReplaceCA left of the prepared files, if their key
// is that of ca, which is in use: the certificate may be gone already.
func (s *Store) RemoveUsedCA(ca *CA) error {
	text, err := s.readPrivate(nextKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	key, err := decodeKey(text)
	if err != nil {
		return s.corruptError(nextKeyFile, err)
	}
	if !samePublicKey(key.Public(), ca.key.Reveal().Public()) {
		return nil // it is still to follow
	}
	return s.removePrepared()
}

func (s *Store) removePrepared() error {
	if err := s.removeFile(nextCertFile); err != nil {
		return err
	}
	return s.removeFile(nextKeyFile)
}

func (s *Store) removeFile(name string) error {
	if err := s.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", s.path(name), err)
	}
	return nil
}

package identity

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"

	"github.com/meshway/meshway/consensus/catalog"
)

// membershipVersion is the version of the file format.
const membershipVersion = 1

// Membership is the part of the federation's data that a gateway needs before its
// catalog is open.
type Membership struct {
	FederationID   string                 `json:"federationID"`
	FederationName string                 `json:"federationName"`
	Datacenter     catalog.DatacenterName `json:"datacenter"`
	Gateway        string                 `json:"gateway"`
	Overlay        netip.Prefix           `json:"overlay"`        // of the federation
	OverlayAddress netip.Addr             `json:"overlayAddress"` // of this gateway
}

// storedMembership is the content of the file.
type storedMembership struct {
	Version int `json:"version"`
	// Leaving is set before the directory of the catalog is removed; the file is
	// removed last. After a crash in between, the next start completes the leave
	// instead of reporting a lost catalog.
	Leaving bool `json:"leaving,omitempty"`
	Membership
}

// Check returns an error unless m is the membership of the given gateway.
func (s *Store) Check(m Membership, dc catalog.DatacenterName, gateway string) error {
	if m.Datacenter != dc {
		return s.mismatchError("datacenter", string(m.Datacenter), string(dc))
	}
	if m.Gateway != gateway {
		return s.mismatchError("gateway", m.Gateway, gateway)
	}
	return nil
}

// Membership returns the stored membership, false if the gateway is not a member.
func (s *Store) Membership() (Membership, bool, error) {
	stored, ok, err := s.storedMembership()
	return stored.Membership, ok && !stored.Leaving, err
}

// StoredGateway returns the name of the gateway whose membership a data directory has;
// empty: none, or it cannot be read, which Open and Membership report.
func StoredGateway(dir string) string {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return ""
	}
	defer root.Close()
	s := Store{dir: dir, root: root}
	m, ok, err := s.Membership()
	if err != nil || !ok {
		return ""
	}
	return m.Gateway
}

func (s *Store) storedMembership() (storedMembership, bool, error) {
	text, err := s.read(membershipFile)
	if errors.Is(err, fs.ErrNotExist) {
		return storedMembership{}, false, nil
	}
	if err != nil {
		return storedMembership{}, false, err
	}
	var m storedMembership
	decoder := json.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&m); err != nil {
		return storedMembership{}, false, s.corruptError(membershipFile, err)
	}
	if m.Version > membershipVersion {
		return storedMembership{}, false, fmt.Errorf("read %s: a newer meshd wrote the file (format %d, this release supports up to %d); start that release again",
			s.path(membershipFile), m.Version, membershipVersion)
	}
	if err := m.validate(); err != nil {
		return storedMembership{}, false, s.corruptError(membershipFile, err)
	}
	return m, true, nil
}

// SaveMembership stores the membership of the gateway. It returns an error if the
// directory belongs to another federation or gateway.
func (s *Store) SaveMembership(m Membership) error {
	if err := m.validate(); err != nil {
		return fmt.Errorf("save membership: %w", err)
	}
	have, ok, err := s.Membership()
	if err != nil {
		return err
	}
	if ok && have.FederationID != m.FederationID {
		return s.mismatchError("federation", have.FederationID, m.FederationID)
	}
	if ok {
		if err := s.Check(have, m.Datacenter, m.Gateway); err != nil {
			return err
		}
	}
	return s.writeMembership(storedMembership{Version: membershipVersion, Membership: m})
}

// ClearMembership removes the membership and the local copy of the catalog, which
// must be closed. The CA and the WireGuard key stay, so that the gateway has the
// same keys when it joins again.
func (s *Store) ClearMembership() error {
	stored, ok, err := s.storedMembership()
	if err != nil {
		return err
	}
	if !ok {
		return nil
	}
	stored.Leaving = true
	if err := s.writeMembership(stored); err != nil {
		return err
	}
	return s.finishLeave()
}

// finishLeave completes a leave that has begun.
func (s *Store) finishLeave() error {
	stored, ok, err := s.storedMembership()
	if err != nil || !ok || !stored.Leaving {
		return err
	}
	if err := s.root.RemoveAll(raftDir); err != nil {
		return fmt.Errorf("remove catalog: %w", err)
	}
	if err := s.root.Remove(membershipFile); err != nil {
		return fmt.Errorf("remove membership: %w", err)
	}
	return s.sync()
}

// DiscardRaft removes a local copy of the catalog without a membership, which an init
// or a join leaves that was interrupted before SaveMembership. It returns an error if
// the gateway is a member.
func (s *Store) DiscardRaft() error {
	_, member, err := s.Membership()
	if err != nil {
		return err
	}
	if member {
		return fmt.Errorf("discard catalog in %s: the gateway is a member of a federation; run \"meshctl leave\"", s.RaftDir())
	}
	if err := s.root.RemoveAll(raftDir); err != nil {
		return fmt.Errorf("discard catalog: %w", err)
	}
	return s.sync()
}

func (s *Store) writeMembership(m storedMembership) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode membership: %w", err)
	}
	return s.write(membershipFile, append(text, '\n'))
}

func (m Membership) validate() error {
	if !isLabel(m.FederationID) {
		return fmt.Errorf("federationID: %q is not a federation id", m.FederationID)
	}
	if !isLabel(string(m.Datacenter)) {
		return fmt.Errorf("datacenter: %q is not a DNS label", m.Datacenter)
	}
	if !isLabel(m.Gateway) {
		return fmt.Errorf("gateway: %q is not a DNS label", m.Gateway)
	}
	if !m.OverlayAddress.IsValid() || !m.Overlay.Contains(m.OverlayAddress) {
		return fmt.Errorf("overlayAddress: %v is not in overlay %v", m.OverlayAddress, m.Overlay)
	}
	return nil
}

package identity

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/meshway/meshway/consensus/catalog"
)

// membershipVersion is that of the file's format.
const membershipVersion = 1

// Membership is what a gateway has to know of its federation before its catalog
// is open.
type Membership struct {
	FederationID   string                 `json:"federationID"`
	FederationName string                 `json:"federationName"`
	Datacenter     catalog.DatacenterName `json:"datacenter"`
	Gateway        string                 `json:"gateway"`
	Overlay        netip.Prefix           `json:"overlay"`        // of the federation
	OverlayAddress netip.Addr             `json:"overlayAddress"` // of this gateway
}

// storedMembership is the file.
type storedMembership struct {
	Version int `json:"version"`
	// Leaving is set before the catalog's directory is removed and the file after
	// it, so that a crash between is finished at the next start and is not
	// taken for a catalog that was lost.
	Leaving bool `json:"leaving,omitempty"`
	Membership
}

// Check refuses a data directory that belongs to another gateway.
func (s *Store) Check(m Membership, dc catalog.DatacenterName, gateway string) error {
	if m.Datacenter != dc {
		return s.foreign("datacenter", string(m.Datacenter), string(dc))
	}
	if m.Gateway != gateway {
		return s.foreign("gateway", m.Gateway, gateway)
	}
	return nil
}

// Membership returns the stored membership, false if there is none.
func (s *Store) Membership() (Membership, bool, error) {
	stored, ok, err := s.storedMembership()
	return stored.Membership, ok && !stored.Leaving, err
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
		return storedMembership{}, false, s.corrupt(membershipFile, err)
	}
	if m.Version > membershipVersion {
		return storedMembership{}, false, fmt.Errorf("read %s: it was written by a newer meshd (format %d, this one knows %d); start that release again",
			s.path(membershipFile), m.Version, membershipVersion)
	}
	if err := m.validate(); err != nil {
		return storedMembership{}, false, s.corrupt(membershipFile, err)
	}
	return m, true, nil
}

// SaveMembership stores that the gateway is a member. A directory that belongs to
// another federation or gateway is refused.
func (s *Store) SaveMembership(m Membership) error {
	if err := m.validate(); err != nil {
		return fmt.Errorf("save membership: %w", err)
	}
	have, ok, err := s.Membership()
	if err != nil {
		return err
	}
	if ok && have.FederationID != m.FederationID {
		return s.foreign("federation", have.FederationID, m.FederationID)
	}
	if ok {
		if err := s.Check(have, m.Datacenter, m.Gateway); err != nil {
			return err
		}
	}
	return s.writeMembership(storedMembership{Version: membershipVersion, Membership: m})
}

// ClearMembership forgets the federation and removes the local copy of the
// catalog, which must be closed. The CA and the WireGuard key stay, so that the
// datacenter is known by the same names when it joins again.
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

// finishLeave does what is left to do of a leave that was begun.
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

// DiscardRaft removes a local copy of the catalog that no membership belongs to:
// what an init or a join leaves behind that was interrupted before
// SaveMembership. It refuses when the gateway is a member.
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
		return fmt.Errorf("federationID: %q is no federation id", m.FederationID)
	}
	if !isLabel(string(m.Datacenter)) {
		return fmt.Errorf("datacenter: %q is no DNS label", m.Datacenter)
	}
	if !isLabel(m.Gateway) {
		return fmt.Errorf("gateway: %q is no DNS label", m.Gateway)
	}
	if !m.OverlayAddress.IsValid() || !m.Overlay.Contains(m.OverlayAddress) {
		return fmt.Errorf("overlayAddress: %v is not in overlay %v", m.OverlayAddress, m.Overlay)
	}
	return nil
}

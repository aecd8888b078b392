package member

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/trust"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/archive"
	"github.com/meshway/meshway/consensus/catalog"
)

// CodeUnsignedArchive is the code of the refusal of an archive whose origin cannot be
// verified.
const CodeUnsignedArchive = "snapshot-unsigned"

// SaveSnapshot returns an archive of the catalog, signed by this gateway, and its index.
func (m *Member) SaveSnapshot(ctx context.Context, mode consensus.ReadMode) (content []byte, index uint64, err error) {
	content, info, err := m.node.SaveSnapshot(ctx, mode)
	return content, info.Index, withRemedy(err)
}

func (m *Member) signArchive(statement []byte) (certificate, signature []byte, err error) {
	own, err := m.certifier.Certificate()
	if err != nil {
		return nil, nil, err
	}
	return trust.Sign(own, statement)
}

// PlanRestore returns what restoring an archive would change, after which gateway
// signed it. An archive whose origin cannot be verified is refused unless
// acceptUnsigned; then the plan begins with a warning.
func (m *Member) PlanRestore(content []byte, acceptUnsigned bool) (archive.Plan, error) {
	origin, err := m.origin(content, acceptUnsigned)
	if err != nil {
		return archive.Plan{}, err
	}
	plan, err := m.node.PlanRestore(content)
	plan.Changes = slices.Insert(plan.Changes, 0, archive.Change{Subject: "snapshot", What: origin})
	return plan, withRemedy(err)
}

// Restore replaces the catalog by an archive and returns its new index. This gateway
// must lead. acceptUnsigned is that of PlanRestore.
func (m *Member) Restore(ctx context.Context, content []byte, acceptUnsigned bool) (index uint64, err error) {
	origin, err := m.origin(content, acceptUnsigned)
	if err != nil {
		return 0, err
	}
	if err := m.node.Restore(ctx, content); err != nil {
		return 0, withRemedy(err)
	}
	m.log.Warn("restored the catalog from a snapshot that "+origin, "index", m.node.View().Index())
	return m.node.View().Index(), nil
}

// origin describes which gateway signed an archive, without decoding its catalog.
func (m *Member) origin(content []byte, acceptUnsigned bool) (string, error) {
	archived, err := archive.Open(content)
	if err != nil {
		return "", fmt.Errorf("%w: %w", consensus.ErrRejected, err)
	}
	return describeOrigin(archived, m.trust.Ledger(), acceptUnsigned)
}

func describeOrigin(archived *archive.Archive, ledger trust.Ledger, acceptUnsigned bool) (string, error) {
	signer, err := verifyOrigin(archived.Info(), archived.SignerCA(), ledger)
	switch {
	case err == nil:
		return "was saved and signed by gateway " + string(signer.ID()), nil
	case acceptUnsigned:
		return "can have been changed by anyone since it was saved: " + err.Error(), nil
	}
	return "", &catalog.Refusal{
		Code: CodeUnsignedArchive, Field: "FILE", Message: "the origin of the snapshot cannot be verified: " + err.Error(),
		Remedy: "use a snapshot that a present member saved (meshctl snapshot save); if this file cannot have been changed, add --accept-unsigned",
	}
}

// verifyOrigin returns the gateway that saved and signed an archive. Its CA is that of
// its datacenter in the archive, which has to be the one that this gateway trusts.
func verifyOrigin(info archive.Info, ca []byte, ledger trust.Ledger) (identity.Peer, error) {
	if info.Signature == "" {
		return identity.Peer{}, errors.New("the snapshot is not signed; earlier builds did not sign snapshots")
	}
	certificate, err1 := base64.StdEncoding.DecodeString(info.Certificate)
	signature, err2 := base64.StdEncoding.DecodeString(info.Signature)
	if err := errors.Join(err1, err2); err != nil {
		return identity.Peer{}, fmt.Errorf("the signature of the snapshot cannot be read: %w", err)
	}
	name := catalog.GatewayID(info.Gateway).Datacenter()
	pin, err := identity.PinOf(ca)
	if is, known := ledger.Datacenters[name]; err != nil || !known || is.Pin != pin {
		return identity.Peer{}, fmt.Errorf("datacenter %s signed the snapshot with a CA that this gateway does not trust", catalog.Shorten(string(name)))
	}
	signer, err := trust.NewSigners(info.Federation).Verify(ca, certificate, info.Statement(), signature)
	if err == nil && string(signer.ID()) != info.Gateway {
		err = fmt.Errorf("gateway %s signed the snapshot in the name of %s", signer.ID(), catalog.Shorten(info.Gateway))
	}
	return signer, err
}

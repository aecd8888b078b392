package member

import (
	"bytes"
	"context"
	"time"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/succession"
)

// CA returns the CA that this gateway uses.
func (m *Member) CA() *identity.CA { return m.certifier.CA() }

// UseCA makes this gateway use a CA that the catalog has for its datacenter. The pin is
// stored first, then the key: after a crash in between, the same call works again.
func (m *Member) UseCA(store *identity.Store, ca *identity.CA) error {
	if err := m.trust.UseCA(ca); err != nil {
		return err
	}
	if err := store.ReplaceCA(ca); err != nil {
		return err
	}
	m.certifier.Use(ca, nil)
	m.PresentChain()
	return nil
}

// PresentChain makes this gateway prove to members whose catalog is behind that its CA
// follows one that they know.
func (m *Member) PresentChain() {
	dc, ok := m.node.View().Datacenter(m.file.Datacenter)
	if ca := m.certifier.CA(); ok && bytes.Equal(dc.CACertificate, ca.Certificate()) {
		m.certifier.Use(ca, identity.Chain(dc))
	}
}

// AnnounceCA replaces the CA of the datacenter in the catalog by next, which the present
// one signs. Both are trusted until RetireCA.
func (m *Member) AnnounceCA(ctx context.Context, next *identity.CA) error {
	dc, err := m.trust.OwnDatacenter(m.node.View())
	if err != nil {
		return err
	}
	certificate, err := m.certifier.CA().Succeed(next, m.certifier.Federation(), time.Now())
	if err != nil {
		return err
	}
	return m.replaceCA(ctx, next, succession.With(dc, next.Certificate(), certificate))
}

// RetireCA ends the trust in the former CA of the datacenter.
func (m *Member) RetireCA(ctx context.Context) error {
	dc, err := m.trust.OwnDatacenter(m.node.View())
	if err != nil {
		return err
	}
	return m.replaceCA(ctx, m.certifier.CA(), succession.Retire(dc))
}

func (m *Member) replaceCA(ctx context.Context, by *identity.CA, dc catalog.Datacenter) error {
	signer, err := by.Issue(m.file.Gateway, m.certifier.Federation(), time.Now())
	if err != nil {
		return err
	}
	if dc, err = m.trust.SignOwnDatacenter(m.node.View(), signer, dc); err != nil {
		return err
	}
	_, err = catalog.One(m.Propose(ctx, catalog.NewReplaceCA(dc)))
	return err
}

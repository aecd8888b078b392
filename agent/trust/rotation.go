package trust

import (
	"crypto/tls"
	"slices"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// UseCA pins the CA of the own datacenter whose key this gateway has now. The former one
// stays trusted until it is retired.
func (g *Guard) UseCA(ca *identity.CA) error {
	g.mu.Lock()
	name := ca.Datacenter()
	if own := g.ledger.Datacenters[name]; own.Pin != ca.Pin() {
		former := g.certifier.CA().Certificate()
		g.ledger = g.ledger.with(name, func(dc Datacenter) Datacenter {
			dc.Pin, dc.Former = ca.Pin(), former
			return dc
		})
		g.dirty, g.verdict = true, Verdict{}
	}
	g.mu.Unlock()
	g.changed.Notify()
	return g.Save()
}

// Waiting returns the names of the gateways of the own datacenter whose records the
// present CA has not signed: they may not have its key yet.
func (g *Guard) Waiting(v *replica.View) []string {
	dc, ok := v.Datacenter(g.certifier.Self().Datacenter)
	if !ok {
		return nil
	}
	signers := NewSigners(g.certifier.Federation())
	var waiting []string
	for _, record := range v.Gateways() {
		if record.Datacenter == dc.Name && signers.VerifyGateway([][]byte{dc.CACertificate}, record) != nil {
			waiting = append(waiting, record.Name)
		}
	}
	slices.Sort(waiting)
	return waiting
}

// SignOwnDatacenter signs the record of the own datacenter with a certificate of the CA
// in it, also if another gateway signed the present one.
func (g *Guard) SignOwnDatacenter(certificate *tls.Certificate, dc catalog.Datacenter) (catalog.Datacenter, error) {
	own := g.Ledger().Datacenters[dc.Name]
	return SignDatacenter(certificate, g.certifier.Federation(), dc, nextVersion(dc.Signature.Version, own.Floor, own.Version))
}

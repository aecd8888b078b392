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
func (a *Authenticator) UseCA(ca *identity.CA) error {
	a.mu.Lock()
	name := ca.Datacenter()
	if own := a.ledger.Datacenters[name]; own.Pin != ca.Pin() {
		former := a.certifier.CA().Certificate()
		a.ledger = a.ledger.with(name, func(dc Datacenter) Datacenter {
			dc.Pin, dc.Former = ca.Pin(), former
			return dc
		})
		a.dirty, a.verdict = true, Verdict{}
	}
	a.mu.Unlock()
	a.changed.Notify()
	return a.Save()
}

// Waiting returns the names of the gateways of the own datacenter whose records the
// present CA has not signed: they may not have its key yet.
func (a *Authenticator) Waiting(v *replica.View) []string {
	dc, ok := v.Datacenter(a.certifier.Self().Datacenter)
	if !ok {
		return nil
	}
	signers := NewSigners(a.certifier.Federation())
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
func (a *Authenticator) SignOwnDatacenter(certificate *tls.Certificate, dc catalog.Datacenter) (catalog.Datacenter, error) {
	own := a.Ledger().Datacenters[dc.Name]
	id := catalog.GatewayID(dc.Name)
	dc, err := SignDatacenter(certificate, a.certifier.Federation(), dc, nextVersion(dc.Signature.Version, own.Floor, own.Version, a.lastIssued(id)))
	if err == nil {
		a.keepIssued(id, dc.Signature)
	}
	return dc, err
}

package trust

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
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

// OwnDatacenter returns the record of the own datacenter, which a rotation changes. The error
// is a *catalog.Refusal if no gateway of the datacenter signed it as it is: a rotation would
// sign what the leader has made of it.
func (a *Authenticator) OwnDatacenter(v *replica.View) (catalog.Datacenter, error) {
	name := a.certifier.Self().Datacenter
	dc, ok := v.Datacenter(name)
	if !ok {
		return catalog.Datacenter{}, &catalog.Refusal{
			Code: catalog.CodeUnknownDatacenter, Message: "the catalog does not contain datacenter " + string(name),
			Remedy: "run meshctl status, which reports why",
		}
	}
	if own := a.Ledger().Datacenters[name]; own.Signed || !dc.Signature.IsZero() {
		if err := a.verifyOwn(own, dc); err != nil {
			return catalog.Datacenter{}, &catalog.Refusal{
				Code: catalog.CodeCertificate, Message: fmt.Sprintf("the record of datacenter %s in the catalog is not as one of its gateways signed it: %s", name, err),
				Remedy: "run meshctl status, which names the record, and repeat the command when it no longer does",
			}
		}
	}
	return dc, nil
}

// verifyOwn verifies a record of the own datacenter with its CAs, given what is remembered
// of it.
func (a *Authenticator) verifyOwn(own Datacenter, dc catalog.Datacenter) error {
	if !slices.ContainsFunc(a.ownCAs(own), func(ca []byte) bool { return bytes.Equal(ca, dc.CACertificate) }) {
		return errors.New("it has another CA")
	}
	return NewSigners(a.certifier.Federation()).VerifyDatacenter(dc)
}

func (a *Authenticator) ownCAs(own Datacenter) [][]byte {
	return trusted(own, a.certifier.CA().Certificate())
}

// SignOwnDatacenter signs a record of the own datacenter with a certificate of the CA in it,
// also if another gateway signed the present one, which v has.
func (a *Authenticator) SignOwnDatacenter(v *replica.View, certificate *tls.Certificate, dc catalog.Datacenter) (catalog.Datacenter, error) {
	own := a.Ledger().Datacenters[dc.Name]
	id := catalog.GatewayID(dc.Name)
	have, _ := v.Datacenter(dc.Name)
	present := versionOf(have.Signature, func() error { return a.verifyOwn(own, have) })
	dc, err := SignDatacenter(certificate, a.certifier.Federation(), dc, nextVersion(present, own.Floor, own.Version, a.lastIssued(id)))
	if err == nil {
		a.keepIssued(id, dc.Signature)
	}
	return dc, err
}

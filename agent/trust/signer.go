package trust

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// Unsigned reports which records need a signature of this gateway: its own, and that
// of its datacenter. A signature is renewed when the certificate of its signer has
// expired, so that a member whose snapshot came from an older build, without signatures,
// has them again within a day. While the CA is not valid, because of its age or of the clock
// of this host, no signature would verify, and none is needed.
func (a *Authenticator) Unsigned(v *replica.View) (gateway, datacenter bool) {
	self := a.certifier.Self()
	record, ok := v.Gateway(self.ID())
	dc, member := v.Datacenter(self.Datacenter)
	if !ok || !member {
		return false, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	ca := a.certifier.CA()
	if !ca.ValidAt(a.certifier.Now()) {
		return false, false
	}
	if pin := ca.Pin(); a.issuer != pin { // what the former CA signed is signed again
		a.signed, a.issuer = map[catalog.GatewayID]catalog.Signature{}, pin
	}
	own := a.ledger.Datacenters[self.Datacenter]
	signers := NewSigners(a.ledger.FederationID)
	last := own.Gateways[record.Name]
	differs := last.Record != nil && !sameGateway(*last.Record, record)
	gateway = !a.current(record.ID(), record.Signature, seen{version: last.Version, floor: own.Floor, record: differs}, func() error {
		return signers.VerifyGateway([][]byte{ca.Certificate()}, record)
	})
	differs = own.Record != nil && !sameDatacenter(*own.Record, dc)
	datacenter = a.maySign(v, dc) && !a.current(catalog.GatewayID(dc.Name), dc.Signature, seen{version: own.Version, floor: own.Floor, record: differs}, func() error {
		return signers.VerifyDatacenter(dc)
	})
	return gateway, datacenter
}

// current reports whether a signature is valid and does not have to be renewed. It
// verifies a signature once. A record that others find outdated has to be signed again:
// two gateways of a datacenter may have signed it with the same version, or the one with
// the later version may have written it first.
func (a *Authenticator) current(record catalog.GatewayID, s catalog.Signature, last seen, verify func() error) bool {
	if s.IsZero() || last.outdated(s) || a.precedesIssued(record, s) {
		return false
	}
	if !a.signed[record].Equal(s) {
		if verify() != nil {
			return false
		}
		a.signed[record] = s
	}
	certificate, err := x509.ParseCertificate(s.Certificate)
	return err == nil && a.certifier.Now().Before(certificate.NotAfter)
}

// precedesIssued reports whether others may have seen a newer signature than s, which
// this gateway made. A sibling may have replaced it before this gateway saw it.
func (a *Authenticator) precedesIssued(record catalog.GatewayID, s catalog.Signature) bool {
	issued := a.issued[record]
	return s.Version < issued.Version || s.Version == issued.Version && !s.Equal(issued)
}

// keepIssued remembers a signature of this gateway.
func (a *Authenticator) keepIssued(record catalog.GatewayID, s catalog.Signature) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.issued[record] = s
}

func (a *Authenticator) lastIssued(record catalog.GatewayID) (version uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.issued[record].Version
}

// maySign reports whether this gateway may sign the record of its datacenter, which
// is a promise that all of its gateways sign theirs: not before all do.
func (a *Authenticator) maySign(v *replica.View, dc catalog.Datacenter) bool {
	if !bytes.Equal(dc.CACertificate, a.certifier.CA().Certificate()) {
		return false // forged, or signed again with the same key
	}
	if !dc.Signature.IsZero() {
		return true
	}
	for _, other := range v.Gateways() {
		if other.Datacenter == dc.Name && other.Signature.IsZero() && other.ID() != a.certifier.Self().ID() {
			return false
		}
	}
	return true
}

// Sign signs the records in the commands of this gateway that replace them.
func (a *Authenticator) Sign(v *replica.View, commands []*catalogpb.Command) error {
	for _, command := range commands {
		var err error
		switch body := command.GetBody().(type) {
		case *catalogpb.Command_UpdateGateway:
			body.UpdateGateway.Gateway, err = a.signGateway(v, body.UpdateGateway.GetGateway())
		case *catalogpb.Command_UpdateDatacenter:
			body.UpdateDatacenter.Datacenter, err = a.signDatacenter(v, body.UpdateDatacenter.GetDatacenter())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *Authenticator) signGateway(v *replica.View, p *catalogpb.Gateway) (*catalogpb.Gateway, error) {
	record, err := catalog.GatewayFromProto(p)
	if err != nil {
		return nil, fmt.Errorf("sign record: %w", err)
	}
	certificate, err := a.certifier.Certificate()
	if err != nil {
		return nil, fmt.Errorf("sign record: %w", err)
	}
	have, _ := v.Gateway(record.ID())
	own, federation := a.Ledger().Datacenters[record.Datacenter], a.certifier.Federation()
	present := versionOf(have.Signature, func() error { return NewSigners(federation).VerifyGateway(a.ownCAs(own), have) })
	record, err = SignGateway(certificate, federation, record, nextVersion(present, own.Floor, own.Gateways[record.Name].Version, a.lastIssued(record.ID())))
	if err != nil {
		return nil, err
	}
	a.keepIssued(record.ID(), record.Signature)
	return record.Proto(), nil
}

func (a *Authenticator) signDatacenter(v *replica.View, p *catalogpb.Datacenter) (*catalogpb.Datacenter, error) {
	record, err := catalog.DatacenterFromProto(p)
	if err != nil {
		return nil, fmt.Errorf("sign record: %w", err)
	}
	if !a.maySign(v, record) {
		return p, nil
	}
	certificate, err := a.certifier.Certificate()
	if err != nil {
		return nil, fmt.Errorf("sign record: %w", err)
	}
	if record, err = a.SignOwnDatacenter(v, certificate, record); err != nil {
		return nil, err
	}
	return record.Proto(), nil
}

// versionOf returns the version of a signature in the catalog, 0 if it does not verify: above
// the highest one that a hostile leader can write there, no record would be accepted.
func versionOf(s catalog.Signature, verify func() error) uint64 {
	if s.IsZero() || verify() != nil {
		return 0
	}
	return s.Version
}

// nextVersion returns a version above those that were seen. It is the time in
// milliseconds, so that a gateway that has lost its disk continues above the versions
// that the others remember.
func nextVersion(seen ...uint64) uint64 {
	version := uint64(time.Now().UnixMilli()) //nolint:gosec // after 1970
	for _, s := range seen {
		version = max(version, s+1)
	}
	return version
}

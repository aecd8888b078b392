package trust

import (
	"bytes"
	"fmt"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// CheckSnapshot returns why the catalog that another member sends must not replace the
// local copy: what is in it cannot come from an honest log. A single foreign record
// that does not verify is no such reason. Its datacenter may have written it, and then
// the log has it too: the plan does without it, and this gateway must not fall behind.
func (a *Authenticator) CheckSnapshot(local, sent *replica.View) error {
	return checkSnapshot(a.certifier.Self().Datacenter, a.Ledger(), recordsOf(local), recordsOf(sent))
}

func recordsOf(v *replica.View) plan.Catalog {
	federation, _ := v.Federation()
	return plan.Catalog{Federation: federation, Datacenters: v.Datacenters(), Gateways: v.Gateways(), Index: v.Index()}
}

func checkSnapshot(own catalog.DatacenterName, l Ledger, local, sent plan.Catalog) error {
	if l.Overlay.IsValid() && sent.Federation.Overlay != l.Overlay {
		return fmt.Errorf("its overlay is %s, and that of the federation is %s", sent.Federation.Overlay, l.Overlay)
	}
	c := snapshotCheck{ledger: l, signers: NewSigners(l.FederationID), local: byName(local), sent: byName(sent)}
	forged, seen := 0, 0
	for name, dc := range c.sent {
		is, known := l.Datacenters[name]
		if !known {
			continue
		}
		seen++
		former, err := identity.Follow(is.Pin, l.FederationID, dc.record)
		pinned := err == nil
		if name == own && !pinned && !bytes.Equal(is.Former, dc.record.CACertificate) {
			return fmt.Errorf("it has another CA for the own datacenter %s", own)
		}
		if !c.honest(name, pinned, trusted(Datacenter{Former: former}, dc.record.CACertificate)) {
			forged++
		}
	}
	if forged > 1 && 2*forged > seen {
		return fmt.Errorf("the records of %d of %d datacenters do not verify, and one member can change only its own", forged, seen)
	}
	return nil
}

type snapshotCheck struct {
	ledger      Ledger
	signers     *Signers
	local, sent map[catalog.DatacenterName]records
}

// records are those of one datacenter.
type records struct {
	record   catalog.Datacenter
	gateways map[string]catalog.Gateway
}

func byName(c plan.Catalog) map[catalog.DatacenterName]records {
	all := make(map[catalog.DatacenterName]records, len(c.Datacenters))
	for _, dc := range c.Datacenters {
		all[dc.Name] = records{dc, make(map[string]catalog.Gateway)}
	}
	for _, g := range c.Gateways {
		if r, ok := all[g.Datacenter]; ok {
			r.gateways[g.Name] = g
		}
	}
	return all
}

// honest reports whether the records of a datacenter verify, as far as they are signed
// and the local copy, which follows the log, does not have the same.
func (c snapshotCheck) honest(name catalog.DatacenterName, pinned bool, cas [][]byte) bool {
	dc, have := c.sent[name], c.local[name]
	if !pinned {
		return bytes.Equal(have.record.CACertificate, dc.record.CACertificate)
	}
	if !dc.record.Signature.IsZero() && !sameDatacenter(have.record, dc.record) && c.signers.VerifyDatacenter(dc.record) != nil {
		return false
	}
	for name, g := range dc.gateways {
		if !g.Signature.IsZero() && !sameGateway(have.gateways[name], g) && c.signers.VerifyGateway(cas, g) != nil {
			return false
		}
	}
	return true
}

package trust

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"time"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// Ledger is what a gateway remembers of the records that it has verified. It is a
// value: a change returns another one. It is stored as JSON.
type Ledger struct {
	FederationID string
	Overlay      netip.Prefix // of the federation; zero: not seen yet
	Index        uint64       // of the catalog when the ledger changed last
	Datacenters  map[catalog.DatacenterName]Datacenter
}

// Datacenter is what is remembered of one datacenter. The pin stays when it leaves
// the catalog, so that no other one can take its name.
type Datacenter struct {
	Pin      identity.Pin        // of the CA at first sight, or of one that followed
	Former   []byte              `json:",omitempty"` // the CA (DER) before it, until it is retired
	Signed   bool                // a signed record was seen: records without a signature are refused
	Floor    uint64              // the highest version of a record that was removed
	Version  uint64              // of the newest signed record that was seen
	Record   *catalog.Datacenter `json:",omitempty"` // the last one that was accepted
	Gateways map[string]Gateway  `json:",omitempty"` // by name
}

// Gateway is what is remembered of one gateway. It is forgotten when it leaves the
// catalog; its version then counts in the floor of its datacenter.
type Gateway struct {
	Version uint64           // of the newest signed record that was seen
	Record  *catalog.Gateway `json:",omitempty"` // the last one that was accepted
}

// Handover returns the ledger for a gateway that is admitted: pins and versions
// without the records, which that gateway receives with the catalog.
func (l Ledger) Handover() Ledger {
	l.Datacenters = maps.Clone(l.Datacenters)
	for name, dc := range l.Datacenters {
		dc.Record, dc.Gateways = nil, maps.Clone(dc.Gateways)
		for gateway, g := range dc.Gateways {
			g.Record = nil
			dc.Gateways[gateway] = g
		}
		l.Datacenters[name] = dc
	}
	return l
}

// ReadHandover returns what a gateway that is admitted believes of a handover: pins, and
// versions of the records in the catalog that came with it. Records and former CAs follow
// from that catalog by signatures, and the index is that of the copy.
func ReadHandover(text []byte, v *replica.View) (Ledger, error) {
	return readHandover(text, recordsOf(v), time.Now())
}

// maxLead is how far a version of a handover may be ahead of the clock, which bounds what a
// hostile gateway can make of it: above the highest version nothing can be signed.
const maxLead = 10 * 365 * 24 * time.Hour

func readHandover(text []byte, have plan.Catalog, now time.Time) (Ledger, error) {
	limit := uint64(now.Add(maxLead).UnixMilli()) //nolint:gosec // after 1970
	plausible := func(version uint64) uint64 {
		if version > limit {
			return 0
		}
		return version
	}
	var sent Ledger
	if err := json.Unmarshal(text, &sent); err != nil {
		return Ledger{}, fmt.Errorf("read the pins of the federation: %w", err)
	}
	gateways := map[catalog.DatacenterName]map[string]Gateway{}
	for _, dc := range have.Datacenters {
		gateways[dc.Name] = map[string]Gateway{}
	}
	for _, g := range have.Gateways {
		if version := plausible(sent.Datacenters[g.Datacenter].Gateways[g.Name].Version); version > 0 && gateways[g.Datacenter] != nil {
			gateways[g.Datacenter][g.Name] = Gateway{Version: version}
		}
	}
	l := Ledger{FederationID: sent.FederationID, Overlay: sent.Overlay, Index: min(sent.Index, have.Index), Datacenters: map[catalog.DatacenterName]Datacenter{}}
	for name, dc := range sent.Datacenters {
		is := Datacenter{Pin: dc.Pin, Signed: dc.Signed, Floor: plausible(dc.Floor)}
		if known, present := gateways[name]; present { // else it joins later, with these versions
			is.Version, is.Gateways = plausible(dc.Version), known
		}
		l.Datacenters[name] = is
	}
	return l, nil
}

// WithPin returns the ledger with the pin of a datacenter, of which nothing else is
// remembered after it.
func (l Ledger) WithPin(name catalog.DatacenterName, pin identity.Pin) Ledger {
	return l.with(name, func(Datacenter) Datacenter { return Datacenter{Pin: pin} })
}

// with returns the ledger with a change of what is remembered of a datacenter.
func (l Ledger) with(name catalog.DatacenterName, change func(Datacenter) Datacenter) Ledger {
	l.Datacenters = maps.Clone(l.Datacenters)
	if l.Datacenters == nil {
		l.Datacenters = map[catalog.DatacenterName]Datacenter{}
	}
	l.Datacenters[name] = change(l.Datacenters[name])
	return l
}

// WithPins returns the ledger with pins of datacenters. What is remembered of one with
// another pin is forgotten.
func (l Ledger) WithPins(pins map[catalog.DatacenterName]identity.Pin) Ledger {
	for name, pin := range pins {
		if is, known := l.Datacenters[name]; !known || is.Pin != pin {
			l = l.WithPin(name, pin)
		}
	}
	return l
}

// withOwnCA returns the ledger with the CA whose key this gateway has. What is remembered
// stays if that is the former one: this gateway has not received the key of the present
// one yet.
func (l Ledger) withOwnCA(ca *identity.CA) Ledger {
	own, known := l.Datacenters[ca.Datacenter()]
	if known && (own.Pin == ca.Pin() || bytes.Equal(own.Former, ca.Certificate())) {
		return l
	}
	return l.WithPin(ca.Datacenter(), ca.Pin())
}

// sameCAs reports whether both ledgers trust the same CAs of the datacenters that the
// first one has.
func sameCAs(before, after Ledger) bool {
	for name, dc := range before.Datacenters {
		if now := after.Datacenters[name]; dc.Pin != now.Pin || !bytes.Equal(dc.Former, now.Former) {
			return false
		}
	}
	return true
}

// removed returns what stays of a datacenter that has left the catalog.
func (d Datacenter) removed() Datacenter {
	floor := max(d.Floor, d.Version)
	for _, g := range d.Gateways {
		floor = max(floor, g.Version)
	}
	return Datacenter{Pin: d.Pin, Signed: d.Signed, Floor: floor}
}

// present reports whether records of the datacenter are remembered.
func (d Datacenter) present() bool { return d.Record != nil || d.Version > 0 || len(d.Gateways) > 0 }

package trust

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/succession"
)

// Verdict is the result of Judge.
type Verdict struct {
	Catalog  plan.Catalog // what the plan may use
	Ledger   Ledger
	Changed  bool // the ledger differs from the one before
	Findings []Finding
}

// Judge compares what the catalog contains with the ledger of the gateway self. A
// record that does not verify is replaced by the last one that was accepted, or
// withheld if there is none. If the catalog does not contain this gateway, Judge
// returns it as it is: the plan changes nothing then.
func Judge(self catalog.GatewayID, before Ledger, have plan.Catalog) Verdict {
	if !contains(have, self) {
		return Verdict{Catalog: have, Ledger: before}
	}
	j := &judge{
		self: self, before: before, have: have, signers: NewSigners(before.FederationID),
		next:     Ledger{FederationID: before.FederationID, Overlay: before.Overlay, Index: before.Index, Datacenters: map[catalog.DatacenterName]Datacenter{}},
		gateways: map[catalog.DatacenterName][]catalog.Gateway{},
	}
	for _, g := range have.Gateways {
		j.gateways[g.Datacenter] = append(j.gateways[g.Datacenter], g)
	}
	j.federation()
	for _, dc := range have.Datacenters {
		if is, ok := j.datacenter(dc); ok {
			j.next.Datacenters[dc.Name] = is
		}
	}
	j.absent()
	j.settleConflicts()
	if j.changed {
		j.next.Index = max(have.Index, before.Index)
	}
	slices.SortFunc(j.findings, compareFindings)
	return Verdict{Catalog: j.catalog(), Ledger: j.next, Changed: j.changed, Findings: j.findings}
}

func contains(c plan.Catalog, id catalog.GatewayID) bool {
	return c.Federation.ID != "" && slices.ContainsFunc(c.Gateways, func(g catalog.Gateway) bool { return g.ID() == id })
}

// judge is one call of Judge.
type judge struct {
	self     catalog.GatewayID
	before   Ledger
	have     plan.Catalog
	signers  *Signers
	gateways map[catalog.DatacenterName][]catalog.Gateway // of have
	next     Ledger
	changed  bool
	findings []Finding
}

// behind reports whether the copy of the catalog is older than the ledger, as it may
// be after a crash. Nothing follows from what such a copy lacks.
func (j *judge) behind() bool { return j.have.Index < j.before.Index }

func (j *judge) report(kind Kind, dc catalog.DatacenterName, gateway, detail string) {
	if !j.behind() {
		j.findings = append(j.findings, Finding{Kind: kind, Datacenter: dc, Gateway: gateway, Detail: detail})
	}
}

// federation keeps the overlay prefix, which never changes in a federation.
func (j *judge) federation() {
	switch overlay := j.have.Federation.Overlay; {
	case !j.next.Overlay.IsValid():
		j.next.Overlay, j.changed = overlay, true
	case j.next.Overlay != overlay:
		j.report(FederationChanged, "", "", overlay.String())
	}
}

// datacenter judges a datacenter with its gateways and returns what is remembered of
// it from now on. Nothing changes in a datacenter whose CA is not the pinned one.
func (j *judge) datacenter(dc catalog.Datacenter) (Datacenter, bool) {
	was, known := j.before.Datacenters[dc.Name]
	if was.Record == nil || !succession.Same(*was.Record, dc) {
		var ok bool
		if was, ok = j.authority(was, known, dc); !ok {
			return was, known
		}
	}
	j.changed = j.changed || !known
	next := was
	j.acceptDatacenter(&next, dc)
	next.Gateways = map[string]Gateway{}
	for _, g := range j.gateways[dc.Name] {
		is, remembered := was.Gateways[g.Name]
		if j.acceptGateway(&is, next, trusted(next, dc.CACertificate), g) || remembered {
			next.Gateways[g.Name] = is
		}
	}
	j.forgetGateways(&next, was)
	return next, true
}

// authority returns was with the CA of dc, if that is the pinned one or follows from it.
// The own datacenter follows only a CA whose key this gateway has: Open pins it.
func (j *judge) authority(was Datacenter, known bool, dc catalog.Datacenter) (Datacenter, bool) {
	authority, err := j.signers.authority(dc.CACertificate)
	if err != nil {
		j.report(SignatureInvalid, dc.Name, "", err.Error())
		return was, false
	}
	pin := identity.PinOfCA(authority)
	if !known {
		was.Pin = pin
	}
	former, err := identity.Follow(was.Pin, j.before.FederationID, dc)
	switch own := dc.Name == j.self.Datacenter(); {
	case own && bytes.Equal(was.Former, dc.CACertificate): // the copy is behind the key that this gateway has
	case own && pin != was.Pin && err == nil:
		j.report(CAUnknown, dc.Name, "", pin.String())
		return was, false
	case pin != was.Pin && err != nil:
		j.report(PinBroken, dc.Name, "", pin.String())
		return was, false
	case !known:
		was.Former = former
	case was.Record == nil && was.Former == nil && pin == was.Pin: // handed over, or of an earlier membership
		seen := seen{version: was.Version, floor: was.Floor}
		if former != nil && !seen.outdated(dc.Signature) && j.signers.VerifyDatacenter(dc) == nil {
			was.Former = former
		}
	case pin != was.Pin || former == nil && was.Former != nil: // what is retired is not trusted again
		if err := j.signers.VerifyDatacenter(dc); err != nil {
			j.report(SignatureInvalid, dc.Name, "", err.Error())
			return was, false
		}
		was.Pin, was.Former, j.changed = pin, former, true
	}
	return was, true
}

// trusted returns the CAs of a datacenter, given the present one.
func trusted(dc Datacenter, ca []byte) [][]byte {
	if dc.Former == nil {
		return [][]byte{ca}
	}
	return [][]byte{ca, dc.Former}
}

// acceptDatacenter replaces the record in next if dc is accepted.
func (j *judge) acceptDatacenter(next *Datacenter, dc catalog.Datacenter) {
	if next.Record != nil && sameDatacenter(*next.Record, dc) {
		return
	}
	seen := seen{version: next.Version, floor: next.Floor, signed: next.Signed, record: next.Record != nil}
	kind, detail := seen.judge(dc.Signature, func() error { return j.signers.VerifyDatacenter(dc) })
	if kind != "" && kind != Unsigned {
		j.report(kind, dc.Name, "", detail)
		// This gateway cannot do without the record of its own datacenter.
		if own := dc.Name == j.self.Datacenter() && next.Record == nil; !own {
			return
		}
	}
	record := dc.Clone()
	next.Record, j.changed = &record, true
	if kind == "" {
		next.Version, next.Signed = dc.Signature.Version, true
	}
}

// acceptGateway replaces the record in is if g is accepted, and reports whether it
// was.
func (j *judge) acceptGateway(is *Gateway, dc Datacenter, cas [][]byte, g catalog.Gateway) bool {
	same := is.Record != nil && sameGateway(*is.Record, g)
	if same && !g.Signature.IsZero() {
		return true
	}
	kind, detail := Unsigned, ""
	if !same {
		seen := seen{version: is.Version, floor: dc.Floor, signed: dc.Signed || is.Version > 0, record: is.Record != nil}
		kind, detail = seen.judge(g.Signature, func() error { return j.signers.VerifyGateway(cas, g) })
	}
	if kind == Unsigned {
		detail = g.Version
	}
	if kind != "" {
		j.report(kind, g.Datacenter, g.Name, detail)
	}
	// This gateway uses the addresses that the catalog assigned to it, and signs
	// them then.
	own := g.ID() == j.self && is.Record == nil
	if same || kind != "" && kind != Unsigned && !own {
		return same
	}
	record := g.Clone()
	is.Record, j.changed = &record, true
	if kind == "" {
		is.Version = g.Signature.Version
	}
	return true
}

// seen is what is remembered of one record.
type seen struct {
	version uint64
	floor   uint64
	signed  bool // it must be signed
	record  bool // a record was accepted, which differs
}

// outdated reports whether a record with a signature is older than what was seen.
func (s seen) outdated(signature catalog.Signature) bool {
	return signature.Version < s.version || signature.Version == s.version && s.record || signature.Version <= s.floor
}

// judge returns what is wrong with a record that differs from the one that was
// accepted last; nothing if it is signed and newer.
func (s seen) judge(signature catalog.Signature, verify func() error) (kind Kind, detail string) {
	switch {
	case signature.IsZero() && s.signed:
		return SignatureMissing, ""
	case signature.IsZero():
		return Unsigned, ""
	case s.outdated(signature):
		return SignatureOutdated, ""
	}
	if err := verify(); err != nil {
		return SignatureInvalid, err.Error()
	}
	return "", ""
}

// forgetGateways raises the floor to the versions of gateways that are not in the
// catalog.
func (j *judge) forgetGateways(next *Datacenter, was Datacenter) {
	for name, g := range was.Gateways {
		if _, present := next.Gateways[name]; present {
			continue
		}
		if j.behind() {
			next.Gateways[name] = g
			continue
		}
		next.Floor, j.changed = max(next.Floor, g.Version), true
	}
}

// absent keeps the pins of datacenters that are not in the catalog, and refuses their
// records from before.
func (j *judge) absent() {
	for name, was := range j.before.Datacenters {
		if _, present := j.next.Datacenters[name]; present {
			continue
		}
		if j.behind() || !was.present() {
			j.next.Datacenters[name] = was
			continue
		}
		j.next.Datacenters[name], j.changed = was.removed(), true
	}
}

// catalog returns what the ledger accepts of the records that the catalog has.
func (j *judge) catalog() plan.Catalog {
	out := plan.Catalog{Federation: j.have.Federation, Settings: j.have.Settings, Observations: j.have.Observations, Index: j.have.Index}
	out.Federation.ID, out.Federation.Overlay = j.next.FederationID, j.next.Overlay
	for _, dc := range j.have.Datacenters {
		is := j.next.Datacenters[dc.Name]
		if is.Record == nil {
			continue
		}
		record := is.Record.Clone()
		record.ModifiedIndex = dc.ModifiedIndex
		out.Datacenters = append(out.Datacenters, record)
		for _, g := range is.Gateways {
			if g.Record != nil {
				out.Gateways = append(out.Gateways, g.Record.Clone())
			}
		}
	}
	slices.SortFunc(out.Gateways, func(a, b catalog.Gateway) int { return cmp.Compare(a.ID(), b.ID()) })
	return out
}

func sameDatacenter(a, b catalog.Datacenter) bool {
	return a.Signature.Equal(b.Signature) && bytes.Equal(datacenterStatement("", a), datacenterStatement("", b))
}

func sameGateway(a, b catalog.Gateway) bool {
	return a.Signature.Equal(b.Signature) && bytes.Equal(gatewayStatement("", a), gatewayStatement("", b))
}

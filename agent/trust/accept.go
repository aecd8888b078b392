package trust

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// Codes of refusals.
const (
	CodePinDiffers = "trust-pin-differs" // the datacenter has another CA
	CodeOwnCA      = "trust-own-ca"      // the CA of the own datacenter is not a matter of trust
)

// Entry describes what a gateway remembers of one datacenter.
type Entry struct {
	Datacenter catalog.DatacenterName
	Pin        identity.Pin
	InCatalog  string // the pin of the CA in the catalog; empty: the datacenter is not in it
	Signed     bool
	Version    uint64
	Unsigned   []string // names of the gateways whose records are not signed
}

// Entries returns what is remembered of all datacenters, by name.
func (a *Authenticator) Entries(v *replica.View) []Entry {
	ledger := a.Ledger()
	var entries []Entry
	for name, is := range ledger.Datacenters {
		e := Entry{Datacenter: name, Pin: is.Pin, Signed: is.Signed, Version: is.Version}
		if dc, ok := v.Datacenter(name); ok {
			e.InCatalog = pinText(dc.CACertificate)
		}
		for gateway, g := range is.Gateways {
			e.Version = max(e.Version, g.Version)
			if g.Record != nil && g.Record.Signature.IsZero() {
				e.Unsigned = append(e.Unsigned, gateway)
			}
		}
		slices.Sort(e.Unsigned)
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Datacenter, b.Datacenter) })
	return entries
}

func pinText(ca []byte) string {
	pin, err := identity.PinOf(ca)
	if err != nil {
		return "unreadable"
	}
	return pin.String()
}

// Accept replaces the pin of a datacenter by that of the CA which its operator has
// confirmed, and forgets everything else that is remembered of it. It returns the
// former pin; false: there was none.
func (a *Authenticator) Accept(v *replica.View, name catalog.DatacenterName, pin identity.Pin) (former identity.Pin, known bool, err error) {
	if name == a.certifier.Self().Datacenter {
		return former, false, &catalog.Refusal{
			Code: CodeOwnCA, Field: "datacenter", Message: fmt.Sprintf("datacenter %s is the one of this gateway, whose CA is in its data directory", name),
			Remedy: "run the command on a gateway of another datacenter",
		}
	}
	if dc, ok := v.Datacenter(name); ok && pinText(dc.CACertificate) != pin.String() {
		return former, false, &catalog.Refusal{
			Code: CodePinDiffers, Field: "fingerprint",
			Message: fmt.Sprintf("the CA of datacenter %s has fingerprint %s in the catalog, not %s", name, pinText(dc.CACertificate), pin),
			Remedy:  "compare with the fingerprint that meshctl trust show prints on a gateway of " + string(name) + "; if the catalog has another one, do not accept it",
		}
	}
	a.mu.Lock()
	before, known := a.ledger.Datacenters[name]
	a.ledger, a.dirty, a.verdict = a.ledger.WithPin(name, pin), true, Verdict{}
	a.mu.Unlock()
	a.changed.Notify()
	return before.Pin, known, a.Save()
}

// CheckAdmission refuses the request of a datacenter that has another CA than one of
// the same name which this gateway remembers.
func (a *Authenticator) CheckAdmission(dc catalog.Datacenter) error {
	is, known := a.Ledger().Datacenters[dc.Name]
	offered := pinText(dc.CACertificate)
	if !known || offered == is.Pin.String() {
		return nil
	}
	return &catalog.Refusal{
		Code: CodePinDiffers, Field: "datacenter",
		Message: fmt.Sprintf("gateway %s remembers a datacenter %s with another CA, and this one has fingerprint %s", a.certifier.Self(), dc.Name, offered),
		Remedy: fmt.Sprintf("choose another name, or, if it replaces the former one, let the operators of the other datacenters run meshctl trust accept %s --fingerprint %s on their gateways",
			dc.Name, offered),
	}
}

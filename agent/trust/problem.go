package trust

import (
	"cmp"
	"fmt"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// Kind is what is wrong with a record; it is the code of the problem.
type Kind string

// The kinds.
const (
	PinBroken         Kind = "trust-pin-broken"
	CAUnknown         Kind = "trust-ca-unknown" // the own datacenter has a CA whose key this gateway does not have
	SignatureMissing  Kind = "signature-missing"
	SignatureInvalid  Kind = "signature-invalid"
	SignatureOutdated Kind = "signature-outdated"
	RecordConflict    Kind = "record-conflict"
	FederationChanged Kind = "federation-changed"
	Unsigned          Kind = "record-unsigned" // accepted, because it was never signed
)

// Finding is a record that was not accepted or is not signed.
type Finding struct {
	Kind       Kind
	Datacenter catalog.DatacenterName
	Gateway    string // empty: the record of the datacenter itself
	Detail     string // depends on the kind
}

func compareFindings(a, b Finding) int {
	return cmp.Or(cmp.Compare(a.Datacenter, b.Datacenter), cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.Kind, b.Kind))
}

func (f Finding) subject() string {
	switch {
	case f.Gateway != "":
		return plan.GatewaySubject(catalog.NewGatewayID(f.Datacenter, f.Gateway))
	case f.Datacenter != "":
		return plan.DatacenterSubject(f.Datacenter)
	}
	return "federation"
}

// kept ends the messages about records that were not accepted.
const kept = "; this gateway keeps to the last record that it has verified"

// problem returns the problem that the status reports; the pin is the one that is
// remembered of the datacenter.
func (f Finding) problem(pin string) plan.Problem {
	p := plan.Problem{Code: string(f.Kind), Severity: plan.Error, Subject: f.subject()}
	signAgain := fmt.Sprintf("restart meshd on the gateways of %s, which sign their records again; if the problem stays, find out which gateway leads the catalog (meshctl raft list-peers)", f.Datacenter)
	switch f.Kind {
	case PinBroken:
		p.Message = fmt.Sprintf("%s has a CA in the catalog with fingerprint %s, but this gateway has seen %s%s", p.Subject, f.Detail, pin, kept)
		p.Remedy = fmt.Sprintf("compare the fingerprint with the operator of %s (meshctl trust show on its gateway); if it is right, run meshctl trust accept %s --fingerprint %s on each gateway", f.Datacenter, f.Datacenter, f.Detail)
	case CAUnknown:
		p.Message = fmt.Sprintf("%s has a new CA in the catalog with fingerprint %s, which its former CA announced, and whose key this gateway does not have%s", p.Subject, f.Detail, kept)
		p.Remedy = "wait for the key if a gateway of this datacenter runs meshctl ca rotate; otherwise the key of the former CA was stolen: leave with meshctl leave --force, and let another datacenter run meshctl datacenter remove " + string(f.Datacenter)
	case SignatureMissing:
		p.Message = fmt.Sprintf("the record of %s is not signed, although it was before%s", p.Subject, kept)
		p.Remedy = fmt.Sprintf("run a version of meshd that signs records on all gateways of %s; to accept records that are not signed, run meshctl trust accept %s --fingerprint %s", f.Datacenter, f.Datacenter, pin)
	case SignatureInvalid:
		p.Message = fmt.Sprintf("the signature of the record of %s is not valid: %s%s", p.Subject, f.Detail, kept)
		p.Remedy = signAgain
	case SignatureOutdated:
		p.Message = fmt.Sprintf("the record of %s is older than one that this gateway has seen%s", p.Subject, kept)
		p.Remedy = signAgain
	case RecordConflict:
		p.Message = fmt.Sprintf("the record of %s claims an address or a key that %s has%s", p.Subject, f.Detail, kept)
		p.Remedy = fmt.Sprintf("find out which gateway leads the catalog (meshctl raft list-peers), which should have refused the record, and remove %s if it is not trusted (meshctl datacenter remove %s)", f.Datacenter, f.Datacenter)
	case FederationChanged:
		p.Message = fmt.Sprintf("the federation has another overlay prefix in the catalog, %s%s", f.Detail, kept)
		p.Remedy = "find out which gateway leads the catalog (meshctl raft list-peers)"
	case Unsigned:
		p.Severity = plan.Warning
		p.Message = fmt.Sprintf("the record of %s is not signed: it runs meshd %s, and until it is upgraded a hostile leader could forge its records", p.Subject, f.Detail)
		p.Remedy = "upgrade meshd on " + string(catalog.NewGatewayID(f.Datacenter, f.Gateway))
	}
	return p
}

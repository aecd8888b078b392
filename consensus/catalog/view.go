package catalog

import (
	"github.com/hashicorp/go-memdb"
)

// View shows the state as it was at one index. It is immutable and may be used
// concurrently. What it returns is sorted by key and belongs to the caller.
type View struct{ txn *memdb.Txn }

// Index is the raft index of the last entry in the view; 0 if there is none.
func (v *View) Index() uint64 { return appliedIndex(v.txn) }

// Federation gives the federation; false before Init.
func (v *View) Federation() (Federation, bool) {
	return found(federation(v.txn), func(f Federation) Federation { return f })
}

// Datacenters gives all datacenters, by name.
func (v *View) Datacenters() []Datacenter {
	var all []Datacenter
	for d := range each[Datacenter](v.txn, tableDatacenters, indexID) {
		all = append(all, d.Clone())
	}
	return all
}

// Datacenter finds one datacenter.
func (v *View) Datacenter(name DatacenterName) (Datacenter, bool) {
	return found(datacenter(v.txn, name), Datacenter.Clone)
}

// Gateways gives all gateways, by datacenter and name.
func (v *View) Gateways() []Gateway {
	var all []Gateway
	for g := range each[Gateway](v.txn, tableGateways, indexID) {
		all = append(all, g.Clone())
	}
	return all
}

// Gateway finds one gateway.
func (v *View) Gateway(id GatewayID) (Gateway, bool) {
	return found(gateway(v.txn, id), Gateway.Clone)
}

// Tokens gives all tokens that are remembered, by id, also those that were used,
// revoked or have expired.
func (v *View) Tokens() []Token {
	var all []Token
	for t := range each[Token](v.txn, tableTokens, indexID) {
		all = append(all, *t)
	}
	return all
}

// Token finds one token.
func (v *View) Token(id string) (Token, bool) {
	return found(token(v.txn, id), func(t Token) Token { return t })
}

// Observations gives all observations, by observer and peer.
func (v *View) Observations() []Observation {
	var all []Observation
	for o := range each[Observation](v.txn, tableObservations, indexID) {
		all = append(all, *o)
	}
	return all
}

// ServiceFilter selects services; an empty field selects all.
type ServiceFilter struct {
	Namespace  string
	Name       string
	Datacenter DatacenterName
	Owner      GatewayID
}

// Services gives the services that f selects, by namespace, name, datacenter and
// instance. By an index go a namespace with or without a name, else a
// datacenter; the other fields are compared.
func (v *View) Services(f ServiceFilter) []Service {
	index, parts := indexName, []any(nil)
	switch {
	case f.Namespace != "" && f.Name != "":
		parts = []any{f.Namespace, f.Name}
	case f.Namespace != "":
		parts = []any{f.Namespace}
	case f.Datacenter != "": // in one datacenter both indexes have the same order
		index, parts = indexID, []any{string(f.Datacenter)}
	}
	var selected []Service
	for s := range each[Service](v.txn, tableServices, index, parts...) {
		if f.selects(s) {
			selected = append(selected, s.Clone())
		}
	}
	return selected
}

func (f ServiceFilter) selects(s *Service) bool {
	return (f.Namespace == "" || f.Namespace == s.Namespace) &&
		(f.Name == "" || f.Name == s.Name) &&
		(f.Datacenter == "" || f.Datacenter == s.Datacenter) &&
		(f.Owner == "" || f.Owner == s.Owner)
}

func found[T any](record *T, clone func(T) T) (T, bool) {
	if record == nil {
		var none T
		return none, false
	}
	return clone(*record), true
}

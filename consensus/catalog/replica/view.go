package replica

import (
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica/internal/table"
	"github.com/meshway/meshway/consensus/catalog/sponsor"
)

// View is the state at one raft index. It is immutable and safe for concurrent use.
// Lists are sorted by key, and the caller may modify all returned values.
type View struct {
	txn *table.Txn
}

// Index returns the raft index of the last entry in the view, 0 if there is none.
func (v *View) Index() uint64 { return appliedIndex(v.txn) }

// Federation returns the federation, false if the catalog is not initialized.
func (v *View) Federation() (catalog.Federation, bool) {
	return found(federation(v.txn), func(f catalog.Federation) catalog.Federation { return f })
}

// Settings returns what the members agreed on; the zero value before they did.
func (v *View) Settings() catalog.Settings { return settings(v.txn) }

// Datacenters returns all datacenters, sorted by name.
func (v *View) Datacenters() []catalog.Datacenter {
	return all(v.txn, tableDatacenters, catalog.Datacenter.Clone)
}

// Datacenter returns a datacenter, false if there is none with this name.
func (v *View) Datacenter(name catalog.DatacenterName) (catalog.Datacenter, bool) {
	return found(datacenter(v.txn, name), catalog.Datacenter.Clone)
}

// Gateways returns all gateways, sorted by datacenter and name.
func (v *View) Gateways() []catalog.Gateway {
	return all(v.txn, tableGateways, catalog.Gateway.Clone)
}

// Gateway returns a gateway, false if there is none with this ID.
func (v *View) Gateway(id catalog.GatewayID) (catalog.Gateway, bool) {
	return found(gateway(v.txn, id), catalog.Gateway.Clone)
}

// Tokens returns all tokens, sorted by ID, including tokens that are used, revoked or
// expired. A token is deleted a week after its expiry.
func (v *View) Tokens() []catalog.Token {
	return all(v.txn, tableTokens, same[catalog.Token])
}

// Token returns a token, false if there is none with this ID.
func (v *View) Token(id string) (catalog.Token, bool) {
	return found(token(v.txn, id), same[catalog.Token])
}

// Sponsors returns what the datacenters count as at a time.
func (v *View) Sponsors(now time.Time) sponsor.Sponsors { return sponsors(v.txn, now) }

// Observations returns all observations, sorted by observer and peer.
func (v *View) Observations() []catalog.Observation {
	return all(v.txn, tableObservations, same[catalog.Observation])
}

// ObservationsBy returns the observations of one gateway, sorted by peer.
func (v *View) ObservationsBy(observer catalog.GatewayID) []catalog.Observation {
	return all(v.txn, tableObservations, same[catalog.Observation], string(observer))
}

// ServiceFilter selects services; an empty field selects all.
type ServiceFilter struct {
	Namespace  string
	Name       string
	Datacenter catalog.DatacenterName
	Owner      catalog.GatewayID
}

// Services returns the services that f selects, sorted by namespace, name,
// datacenter and instance. It uses an index for the namespace, with or without the
// name, or else for the datacenter or the owner, and compares the other fields.
func (v *View) Services(f ServiceFilter) []catalog.Service {
	index, parts := indexName, []string(nil)
	switch {
	case f.Namespace != "" && f.Name != "":
		parts = []string{f.Namespace, f.Name}
	case f.Namespace != "":
		parts = []string{f.Namespace}
	case f.Datacenter != "": // in one datacenter both indexes have the same order
		index, parts = indexID, []string{string(f.Datacenter)}
	case f.Owner != "": // it is in one datacenter, too
		index, parts = indexOwner, []string{string(f.Owner)}
	}
	var selected []catalog.Service
	for s := range each[catalog.Service](v.txn, tableServices, index, parts...) {
		if f.selects(s) {
			selected = append(selected, s.Clone())
		}
	}
	return selected
}

// CountServices returns the number of services of each datacenter that has any. It
// copies no records.
func (v *View) CountServices() map[catalog.DatacenterName]int {
	count := map[catalog.DatacenterName]int{}
	for s := range each[catalog.Service](v.txn, tableServices, indexID) {
		count[s.Datacenter]++
	}
	return count
}

func (f ServiceFilter) selects(s *catalog.Service) bool {
	return (f.Namespace == "" || f.Namespace == s.Namespace) &&
		(f.Name == "" || f.Name == s.Name) &&
		(f.Datacenter == "" || f.Datacenter == s.Datacenter) &&
		(f.Owner == "" || f.Owner == s.Owner)
}

// all returns copies of the records of a table whose keys begin with parts.
func all[T any](txn *table.Txn, of string, clone func(T) T, parts ...string) []T {
	var copies []T
	for record := range each[T](txn, of, indexID, parts...) {
		copies = append(copies, clone(*record))
	}
	return copies
}

// same is the copy of a record without slices and maps.
func same[T any](record T) T { return record }

func found[T any](record *T, clone func(T) T) (T, bool) {
	if record == nil {
		var none T
		return none, false
	}
	return clone(*record), true
}

package replica

import (
	"hash/maphash"

	"github.com/meshway/meshway/consensus/catalog"
)

// ExportFilter selects exports or endpoint slices; an empty field selects all.
// Namespace and Name must be set together.
type ExportFilter struct {
	Datacenter catalog.DatacenterName
	Namespace  string
	Name       string
}

// query returns the index whose keys begin with the fields of f, and the parts of
// the key.
func (f ExportFilter) query() (index string, parts []any) {
	switch {
	case f.Namespace != "" && f.Name != "":
		parts = []any{f.Namespace, f.Name}
		if f.Datacenter != "" {
			parts = append(parts, string(f.Datacenter))
		}
		return indexName, parts
	case f.Datacenter != "":
		return indexID, []any{string(f.Datacenter)}
	}
	return indexName, nil
}

// Exports returns the exports that f selects, sorted by namespace, name and
// datacenter.
func (v *View) Exports(f ExportFilter) []catalog.Export {
	var selected []catalog.Export
	index, parts := f.query()
	for e := range each[catalog.Export](v.txn, tableExports, index, parts...) {
		selected = append(selected, e.Clone())
	}
	return selected
}

// EndpointSlices returns the slices that f selects, sorted by namespace, name,
// datacenter and slice.
func (v *View) EndpointSlices(f ExportFilter) []catalog.EndpointSlice {
	var selected []catalog.EndpointSlice
	index, parts := f.query()
	for s := range each[catalog.EndpointSlice](v.txn, tableEndpoints, index, parts...) {
		selected = append(selected, s.Clone())
	}
	return selected
}

// ExportsIndex returns the index of the last entry that changed exports or endpoints,
// or a later one. Of two views of one State with the same value, both have the same
// ExportedNames.
func (v *View) ExportsIndex() uint64 { return v.exports }

// ExportedNames returns the names of all exports, each with a hash that changes when
// an export of that name or its endpoints change. Hashes with the same seed are
// comparable. It copies no records, so that a reader can call it at each change of
// ExportsIndex to find the names it has to read again.
func (v *View) ExportedNames(seed maphash.Seed) map[catalog.ServiceName]uint64 {
	hashes := make(map[catalog.ServiceName]uint64)
	type part struct {
		datacenter catalog.DatacenterName
		slice      string
		index      uint64
	}
	for e := range each[catalog.Export](v.txn, tableExports, indexName) {
		hashes[catalog.ServiceName{Namespace: e.Namespace, Name: e.Name}] += maphash.Comparable(seed, part{e.Datacenter, "", e.ModifiedIndex})
	}
	for s := range each[catalog.EndpointSlice](v.txn, tableEndpoints, indexName) {
		hashes[catalog.ServiceName{Namespace: s.Namespace, Name: s.Name}] += maphash.Comparable(seed, part{s.Datacenter, s.Slice, s.ModifiedIndex})
	}
	return hashes
}

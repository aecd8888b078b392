package catalog

import "hash/maphash"

// ExportFilter selects exports or endpoint slices; an empty field selects all.
// Namespace and Name must be set together.
type ExportFilter struct {
	Datacenter DatacenterName
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
func (v *View) Exports(f ExportFilter) []Export {
	var selected []Export
	index, parts := f.query()
	for e := range each[Export](v.txn, tableExports, index, parts...) {
		selected = append(selected, e.Clone())
	}
	return selected
}

// EndpointSlices returns the slices that f selects, sorted by namespace, name,
// datacenter and slice.
func (v *View) EndpointSlices(f ExportFilter) []EndpointSlice {
	var selected []EndpointSlice
	index, parts := f.query()
	for s := range each[EndpointSlice](v.txn, tableEndpoints, index, parts...) {
		selected = append(selected, s.Clone())
	}
	return selected
}

// ServiceName is the namespace and name of an export, common to all datacenters.
type ServiceName struct {
	Namespace string
	Name      string
}

// ExportedNames returns the names of all exports, each with a hash that changes when
// an export of that name or its endpoints change. Hashes with the same seed are
// comparable. It copies no records, so that a reader can call it at each change of
// the catalog to find the names it has to read again.
func (v *View) ExportedNames(seed maphash.Seed) map[ServiceName]uint64 {
	hashes := make(map[ServiceName]uint64)
	type part struct {
		datacenter DatacenterName
		slice      string
		index      uint64
	}
	for e := range each[Export](v.txn, tableExports, indexName) {
		hashes[ServiceName{e.Namespace, e.Name}] += maphash.Comparable(seed, part{e.Datacenter, "", e.ModifiedIndex})
	}
	for s := range each[EndpointSlice](v.txn, tableEndpoints, indexName) {
		hashes[ServiceName{s.Namespace, s.Name}] += maphash.Comparable(seed, part{s.Datacenter, s.Slice, s.ModifiedIndex})
	}
	return hashes
}

package catalog

import "hash/maphash"

// ExportFilter selects exports or endpoint slices; an empty field selects all.
// Namespace and name come together.
type ExportFilter struct {
	Datacenter DatacenterName
	Namespace  string
	Name       string
}

// query picks the index whose keys begin with what f gives.
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

// Exports gives the exports that f selects, by namespace, name and datacenter.
func (v *View) Exports(f ExportFilter) []Export {
	var selected []Export
	index, parts := f.query()
	for e := range each[Export](v.txn, tableExports, index, parts...) {
		selected = append(selected, e.Clone())
	}
	return selected
}

// EndpointSlices gives the slices that f selects, by namespace, name, datacenter
// and slice.
func (v *View) EndpointSlices(f ExportFilter) []EndpointSlice {
	var selected []EndpointSlice
	index, parts := f.query()
	for s := range each[EndpointSlice](v.txn, tableEndpoints, index, parts...) {
		selected = append(selected, s.Clone())
	}
	return selected
}

// ServiceName is a name under which datacenters export.
type ServiceName struct {
	Namespace string
	Name      string
}

// ExportedNames gives every name under which anything is exported with a stamp
// that differs as soon as an export or its endpoints do. Stamps of one process
// compare with each other. It copies no record: a reader asks at every
// change of the catalog which names it has to look at again.
func (v *View) ExportedNames(seed maphash.Seed) map[ServiceName]uint64 {
	stamps := make(map[ServiceName]uint64)
	type part struct {
		datacenter DatacenterName
		slice      string
		index      uint64
	}
	for e := range each[Export](v.txn, tableExports, indexName) {
		stamps[ServiceName{e.Namespace, e.Name}] += maphash.Comparable(seed, part{e.Datacenter, "", e.ModifiedIndex})
	}
	for s := range each[EndpointSlice](v.txn, tableEndpoints, indexName) {
		stamps[ServiceName{s.Namespace, s.Name}] += maphash.Comparable(seed, part{s.Datacenter, s.Slice, s.ModifiedIndex})
	}
	return stamps
}

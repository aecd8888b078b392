package replica

import "github.com/meshway/meshway/consensus/catalog"

// ExportFilter selects exports or endpoint slices; an empty field selects all.
// Namespace and Name must be set together.
type ExportFilter struct {
	Datacenter catalog.DatacenterName
	Namespace  string
	Name       string
}

// query returns the index whose keys begin with the fields of f, and the parts of
// the key.
func (f ExportFilter) query() (index string, parts []string) {
	switch {
	case f.Namespace != "" && f.Name != "":
		parts = []string{f.Namespace, f.Name}
		if f.Datacenter != "" {
			parts = append(parts, string(f.Datacenter))
		}
		return indexName, parts
	case f.Datacenter != "":
		return indexID, []string{string(f.Datacenter)}
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

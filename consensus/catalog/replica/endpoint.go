package replica

import (
	"fmt"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// putEndpoints replaces endpoint slices, all of the command or none.
func (w *writer) putEndpoints(req request, body *catalogpb.PutEndpoints) (catalog.Result, *catalog.Refusal) {
	list := make([]*catalog.EndpointSlice, 0, len(body.GetSlices()))
	for i, p := range body.GetSlices() {
		s, err := catalog.EndpointSliceFromProto(p)
		if err != nil {
			return catalog.Result{}, catalog.AsRefusal(err).In(catalog.At("slices", i))
		}
		if r := w.checkEndpointSlice(req, s); r != nil {
			return catalog.Result{}, r.In(catalog.At("slices", i))
		}
		list = append(list, &s)
	}
	for _, s := range list {
		if have := endpointSlice(w.txn, s.EndpointSliceKey); have != nil && have.Equal(*s) {
			continue
		}
		s.ModifiedIndex = w.index
		insert(w.txn, tableEndpoints, s)
	}
	return catalog.Result{}, nil
}

func (w *writer) checkEndpointSlice(req request, s catalog.EndpointSlice) *catalog.Refusal {
	if r := checkExportKey(req, s.ExportKey); r != nil {
		return r
	}
	if r := s.EndpointSliceKey.Check(); r != nil {
		return r
	}
	if export(w.txn, s.ExportKey) == nil {
		return &catalog.Refusal{
			Code: catalog.CodeUnknownExport, Field: "name",
			Message: fmt.Sprintf("datacenter %s does not export %s/%s", s.Datacenter, s.Namespace, s.Name),
			Remedy:  "export the service first",
		}
	}
	return s.Check(*datacenter(w.txn, s.Datacenter))
}

func (w *writer) deleteEndpoints(req request, body *catalogpb.DeleteEndpoints) (catalog.Result, *catalog.Refusal) {
	for i, p := range body.GetSlices() {
		if r := req.checkOwner("datacenter", catalog.DatacenterName(p.GetDatacenter())); r != nil {
			return catalog.Result{}, r.In(catalog.At("slices", i))
		}
	}
	for _, p := range body.GetSlices() {
		if s := endpointSlice(w.txn, catalog.EndpointSliceKeyFromProto(p)); s != nil {
			remove(w.txn, tableEndpoints, s)
		}
	}
	return catalog.Result{}, nil
}

// deleteForeignSlices removes the slices of dc with an endpoint outside its
// prefixes. The exporter writes the remaining endpoints of these slices again.
func (w *writer) deleteForeignSlices(dc catalog.Datacenter) {
	for s := range each[catalog.EndpointSlice](w.txn, tableEndpoints, indexID, string(dc.Name)) {
		if slices.ContainsFunc(s.Endpoints, func(e catalog.Endpoint) bool { return !dc.Contains(e.Address) }) {
			remove(w.txn, tableEndpoints, s)
		}
	}
}

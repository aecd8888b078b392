package replica

import (
	"fmt"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// putEndpoints replaces endpoint slices, all of the command or none.
func (w *writer) putEndpoints(req request, body *catalogpb.PutEndpoints) (catalog.Result, *catalog.Refusal) {
	list, r := readAll("slices", body.GetSlices(), catalog.EndpointSliceFromProto, func(s *catalog.EndpointSlice) *catalog.Refusal { return w.checkEndpointSlice(req, *s) })
	if r != nil {
		return catalog.Result{}, r
	}
	for _, s := range list {
		if have := endpointSlice(w.txn, s.EndpointSliceKey); have != nil && have.Equal(*s) {
			continue // ModifiedIndex stays, so that readers can skip the record
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
	if r := checkOwners(req, "slices", body.GetSlices()); r != nil {
		return catalog.Result{}, r
	}
	for _, p := range body.GetSlices() {
		if s := endpointSlice(w.txn, catalog.EndpointSliceKeyFromProto(p)); s != nil {
			remove(w.txn, tableEndpoints, s)
		}
	}
	return catalog.Result{}, nil
}

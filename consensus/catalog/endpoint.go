package catalog

import (
	"fmt"
	"slices"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// putEndpoints replaces slices: all of the command or none.
func (w *writer) putEndpoints(req request, body *catalogpb.PutEndpoints) (Result, *Refusal) {
	list := make([]*EndpointSlice, 0, len(body.GetSlices()))
	for i, p := range body.GetSlices() {
		s, err := EndpointSliceFromProto(p)
		if err != nil {
			return Result{}, asRefusal(err).in(at("slices", i))
		}
		if r := w.checkEndpointSlice(req, s); r != nil {
			return Result{}, r.in(at("slices", i))
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
	return Result{}, nil
}

// Equal compares all but ModifiedIndex.
func (s EndpointSlice) Equal(o EndpointSlice) bool {
	return s.EndpointSliceKey == o.EndpointSliceKey &&
		slices.Equal(s.Endpoints, o.Endpoints) && slices.Equal(s.Ports, o.Ports)
}

func (w *writer) checkEndpointSlice(req request, s EndpointSlice) *Refusal {
	if r := checkExportKey(req, s.ExportKey); r != nil {
		return r
	}
	if r := checkInstance(s.Slice); r != nil {
		r.Field = "slice"
		return r
	}
	if export(w.txn, s.ExportKey) == nil {
		return &Refusal{
			Code: CodeUnknownExport, Field: "name",
			Message: fmt.Sprintf("%s exports no %s/%s", s.Datacenter, s.Namespace, s.Name),
			Remedy:  "export the service first",
		}
	}
	if len(s.Endpoints) > MaxSliceEndpoints {
		return &Refusal{
			Code: CodeTooLarge, Field: "endpoints", Message: fmt.Sprintf("%d are too many", len(s.Endpoints)),
			Remedy: fmt.Sprintf("use several slices of at most %d", MaxSliceEndpoints),
		}
	}
	dc := datacenter(w.txn, s.Datacenter)
	for i, e := range s.Endpoints {
		if r := checkEndpoint(*dc, e, s.Endpoints[0]); r != nil {
			return r.in(at("endpoints", i))
		}
	}
	return checkExportPorts(s.Ports)
}

func checkEndpoint(dc Datacenter, e, first Endpoint) *Refusal {
	invalid := func(field, message, remedy string) *Refusal {
		return &Refusal{Code: CodeEndpointsInvalid, Field: field, Message: message, Remedy: remedy}
	}
	switch {
	case !dc.Contains(e.Address) || e.Address.Zone() != "":
		return &Refusal{
			Code: CodeAddressForeign, Field: "address",
			Message: fmt.Sprintf("%q is not in the prefixes of %s", addrText(e.Address), dc.Name),
			Remedy:  "use an address of " + prefixList(dc.Prefixes) + ", or announce its prefix",
		}
	case e.Address.Is4() != first.Address.Is4():
		return invalid("address", "it is of another family than the first", "use a slice for each family")
	case e.Hostname != "" && !isLabel(e.Hostname):
		return invalid("hostname", fmt.Sprintf("%q is no DNS label", shorten(e.Hostname)), "use a-z, 0-9 and '-'")
	case len(e.Zone) > maxNameLength:
		return invalid("zone", "it is too long", fmt.Sprintf("use at most %d bytes", maxNameLength))
	}
	return nil
}

func (w *writer) deleteEndpoints(req request, body *catalogpb.DeleteEndpoints) (Result, *Refusal) {
	for i, p := range body.GetSlices() {
		if r := req.owns("datacenter", DatacenterName(p.GetDatacenter())); r != nil {
			return Result{}, r.in(at("slices", i))
		}
	}
	for _, p := range body.GetSlices() {
		if s := endpointSlice(w.txn, endpointSliceKeyFromProto(p)); s != nil {
			remove(w.txn, tableEndpoints, s)
		}
	}
	return Result{}, nil
}

// forgetForeignEndpoints removes the slices with an endpoint that is no longer
// in the prefixes of dc. Its exporter writes again what is left of them.
func (w *writer) forgetForeignEndpoints(dc Datacenter) {
	for s := range each[EndpointSlice](w.txn, tableEndpoints, indexID, string(dc.Name)) {
		if slices.ContainsFunc(s.Endpoints, func(e Endpoint) bool { return !dc.Contains(e.Address) }) {
			remove(w.txn, tableEndpoints, s)
		}
	}
}

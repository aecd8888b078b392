package catalog

import (
	"fmt"
	"slices"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// putEndpoints replaces endpoint slices, all of the command or none.
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

// Equal reports whether s and o are equal apart from ModifiedIndex.
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
			Message: fmt.Sprintf("datacenter %s does not export %s/%s", s.Datacenter, s.Namespace, s.Name),
			Remedy:  "export the service first",
		}
	}
	if len(s.Endpoints) > MaxSliceEndpoints {
		return &Refusal{
			Code: CodeTooLarge, Field: "endpoints", Message: fmt.Sprintf("%d endpoints are too many", len(s.Endpoints)),
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
			Message: fmt.Sprintf("address %q is not in the prefixes of datacenter %s", addrText(e.Address), dc.Name),
			Remedy:  "use an address of " + prefixList(dc.Prefixes) + ", or announce its prefix",
		}
	case e.Address.Is4() != first.Address.Is4():
		return invalid("address", "the address is not of the same family as the first endpoint", "use one slice per address family")
	case e.Hostname != "" && !isLabel(e.Hostname):
		return invalid("hostname", fmt.Sprintf("%q is not a DNS label", shorten(e.Hostname)), "use a-z, 0-9 and '-'")
	case len(e.Zone) > maxNameLength:
		return invalid("zone", "the zone is too long", fmt.Sprintf("use at most %d bytes", maxNameLength))
	}
	return nil
}

func (w *writer) deleteEndpoints(req request, body *catalogpb.DeleteEndpoints) (Result, *Refusal) {
	for i, p := range body.GetSlices() {
		if r := req.checkOwner("datacenter", DatacenterName(p.GetDatacenter())); r != nil {
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

// deleteForeignSlices removes the slices of dc with an endpoint outside its
// prefixes. The exporter writes the remaining endpoints of these slices again.
func (w *writer) deleteForeignSlices(dc Datacenter) {
	for s := range each[EndpointSlice](w.txn, tableEndpoints, indexID, string(dc.Name)) {
		if slices.ContainsFunc(s.Endpoints, func(e Endpoint) bool { return !dc.Contains(e.Address) }) {
			remove(w.txn, tableEndpoints, s)
		}
	}
}

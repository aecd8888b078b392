package catalog

import (
	"fmt"
	"slices"
)

// Equal reports whether s and o are equal apart from ModifiedIndex.
func (s EndpointSlice) Equal(o EndpointSlice) bool {
	return s.EndpointSliceKey == o.EndpointSliceKey &&
		slices.Equal(s.Endpoints, o.Endpoints) && slices.Equal(s.Ports, o.Ports)
}

// Check returns why the catalog refuses the name of the slice, or nil. The rest of the
// key is that of the export.
func (k EndpointSliceKey) Check() *Refusal {
	r := checkInstance(k.Slice)
	if r != nil {
		r.Field = "slice"
	}
	return r
}

// Check returns why the catalog refuses the content of a slice of dc, or nil. It does
// not check the key.
func (s EndpointSlice) Check(dc Datacenter) *Refusal {
	if len(s.Endpoints) > MaxSliceEndpoints {
		return tooLarge("endpoints", fmt.Sprintf("%d endpoints are too many", len(s.Endpoints)),
			fmt.Sprintf("use several slices of at most %d", MaxSliceEndpoints))
	}
	for i, e := range s.Endpoints {
		if r := e.check(dc, s.Endpoints[0]); r != nil {
			return r.In(At("endpoints", i))
		}
	}
	return checkExportPorts(s.Ports)
}

// check checks an endpoint of dc in a slice with a first endpoint.
func (e Endpoint) check(dc Datacenter, first Endpoint) *Refusal {
	if r := dc.CheckAddress(e.Address); r != nil {
		return r
	}
	invalid := func(field, message, remedy string) *Refusal {
		return &Refusal{Code: CodeEndpointsInvalid, Field: field, Message: message, Remedy: remedy}
	}
	switch {
	case e.Address.Is4() != first.Address.Is4():
		return invalid("address", "the address is not of the same family as the first endpoint", "use one slice per address family")
	case e.Hostname != "" && !isLabel(e.Hostname):
		return invalid("hostname", fmt.Sprintf("%q is not a DNS label", Shorten(e.Hostname)), "use a-z, 0-9 and '-'")
	case len(e.Zone) > maxNameLength:
		return invalid("zone", "the zone is too long", fmt.Sprintf("use at most %d bytes", maxNameLength))
	}
	return nil
}

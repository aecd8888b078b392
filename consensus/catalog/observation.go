package catalog

import "fmt"

// Equal reports whether o and p are equal apart from ModifiedIndex and the time, by which
// a member could repeat the same observation as another one without end.
func (o Observation) Equal(p Observation) bool {
	return o.Observer == p.Observer && o.Peer == p.Peer && o.Endpoint == p.Endpoint
}

// Check returns why the catalog refuses the endpoint of o, or nil.
func (o Observation) Check() *Refusal {
	if isReachable(o.Endpoint) {
		return nil
	}
	return &Refusal{
		Code: CodeEndpointInvalid, Field: "endpoint", Message: fmt.Sprintf("%q cannot be the endpoint of a peer", addrPortText(o.Endpoint)),
		Remedy: "send the address and port from which packets come",
	}
}

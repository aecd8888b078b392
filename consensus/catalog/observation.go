package catalog

import "fmt"

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

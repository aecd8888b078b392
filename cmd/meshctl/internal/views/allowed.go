package views

import "github.com/meshway/meshway/agent/control/controlpb"

// Allowed is the document of federation allow: all ranges that are allowed.
type Allowed struct {
	Allowed []AllowedPrefix `json:"allowed"`
}

// AllowedPrefix is a range in which all datacenters but one may announce prefixes.
type AllowedPrefix struct {
	CIDR      string `json:"cidr"`
	AllowedBy string `json:"allowedBy"` // datacenter
}

// NewAllowed returns the document of an answer.
func NewAllowed(r *controlpb.AllowPrefixesResponse) Allowed {
	view := Allowed{Allowed: []AllowedPrefix{}}
	for _, a := range r.GetAllowed() {
		view.Allowed = append(view.Allowed, AllowedPrefix{CIDR: a.GetCidr(), AllowedBy: a.GetAllowedBy()})
	}
	return view
}

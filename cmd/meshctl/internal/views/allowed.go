package views

import (
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
)

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

// AllowedTable returns one row for each range.
func AllowedTable(view Allowed) human.Table {
	table := human.Table{Columns: []human.Column{{Title: "PREFIX"}, {Title: "ALLOWED BY"}}}
	for _, a := range view.Allowed {
		table.Rows = append(table.Rows, human.Text(a.CIDR, a.AllowedBy))
	}
	return table
}

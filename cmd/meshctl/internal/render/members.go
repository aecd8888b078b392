package render

import (
	"strconv"
	"strings"
	"time"

	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
)

// MembersTable returns one row for each gateway; wide adds its addresses and version.
func MembersTable(snapshot status.Snapshot, wide bool) human.Table {
	table := human.Table{Columns: []human.Column{
		{Title: "DATACENTER"},
		{Title: "GATEWAY", Min: 7},
		{Title: "OVERLAY"},
		{Title: "ROLE"},
		{Title: "SERVICES", Right: true, Drop: 2},
		{Title: "JOINED", Drop: 1},
		{Title: "PREFIXES", Min: 16},
	}}
	if wide {
		table.Columns = append(table.Columns, human.Column{Title: "ENDPOINTS"}, human.Column{Title: "CONTROLS"}, human.Column{Title: "VERSION"})
	}
	for _, dc := range snapshot.Datacenters {
		for n, gateway := range dc.Gateways {
			table.Rows = append(table.Rows, memberRow(snapshot.At, dc, gateway, n == 0, wide))
		}
	}
	return table
}

// memberRow shows the columns of the datacenter only in the row of its first
// gateway.
func memberRow(at time.Time, dc status.Datacenter, g status.Gateway, first, wide bool) []human.Cell {
	services, joined, prefixes := "", "", ""
	if first {
		services, joined, prefixes = strconv.Itoa(dc.Services), human.Ago(at, dc.JoinedAt), PrefixList(dc.Prefixes)
	}
	if first && dc.Witness {
		prefixes = "(witness)"
	}
	row := human.Text(dc.Name, g.Name, g.Overlay, Role(g), services, joined, prefixes)
	if wide {
		row = append(row, human.Text(strings.Join(g.Endpoints, ","), strings.Join(g.Controls, ","), g.Version)...)
	}
	return row
}

// PrefixList returns the prefixes with their kinds.
func PrefixList(prefixes []status.Prefix) string {
	texts := make([]string, 0, len(prefixes))
	for _, p := range prefixes {
		texts = append(texts, p.CIDR.String()+" "+p.Kind)
	}
	return strings.Join(texts, ", ")
}

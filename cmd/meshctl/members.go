package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
	"github.com/spf13/cobra"
)

func newMembersCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "members",
		Short: "List datacenters with their gateways and prefixes",
		Long:  `Lists the members of the federation from this gateway's copy of the catalog.`,
		Example: `  meshctl members
  meshctl members -o json | jq -r '.datacenters[].name'`,
		Args: noArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				snapshot, _, err := fetchStatus(ctx, client)
				if err != nil {
					return err
				}
				view := membersView{Federation: snapshot.Federation, Datacenters: snapshot.Datacenters}
				if view.Datacenters == nil {
					view.Datacenters = []status.Datacenter{}
				}
				table := membersTable(snapshot, a.options.output == formatWide)
				return a.print(view, a.table(table, "no members: this gateway is in no federation"))
			})
		},
	}
}

func membersTable(snapshot status.Snapshot, wide bool) human.Table {
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
		services, joined, prefixes = strconv.Itoa(dc.Services), human.Ago(at, dc.JoinedAt), prefixList(dc.Prefixes)
	}
	row := human.Text(dc.Name, g.Name, g.Overlay, role(g), services, joined, prefixes)
	if wide {
		row = append(row, human.Text(strings.Join(g.Endpoints, ","), strings.Join(g.Controls, ","), g.Version)...)
	}
	return row
}

func prefixList(prefixes []status.Prefix) string {
	texts := make([]string, 0, len(prefixes))
	for _, p := range prefixes {
		texts = append(texts, p.CIDR.String()+" "+p.Kind)
	}
	return strings.Join(texts, ", ")
}

package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/output"
	"github.com/meshway/meshway/cmd/meshctl/internal/render"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
)

func newMembersCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "members",
		Short: "List datacenters with their gateways and prefixes",
		Long:  `Lists the members of the federation from this gateway's copy of the catalog.`,
		Example: `  meshctl members
  meshctl members -o json | jq -r '.datacenters[].name'`,
		Args: command.NoArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				snapshot, _, err := fetchStatus(ctx, client)
				if err != nil {
					return err
				}
				view := views.Members{Federation: snapshot.Federation, Datacenters: snapshot.Datacenters}
				if view.Datacenters == nil {
					view.Datacenters = []status.Datacenter{}
				}
				table := render.MembersTable(snapshot, a.options.output == output.Wide)
				return a.print(view, a.table(table, "no members: this gateway is in no federation"))
			})
		},
	}
}

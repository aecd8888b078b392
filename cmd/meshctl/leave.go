package main

import (
	"context"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/command"
)

func newLeaveCommand(a *app) *cobra.Command {
	var yes, force bool
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "Remove this datacenter from its federation",
		Long: `Removes this datacenter from its federation: the catalog deletes it, the other
members stop trusting it at once, and the tunnels, routes and firewall rules of
Meshway on this host are removed. With --force it leaves even if no leader can
be reached; if only this gateway was removed, it enrols again instead.`,
		Example: `  meshctl leave
  meshctl leave --yes
  meshctl leave --yes --force           # the federation cannot be reached`,
		Args: command.NoArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.confirm(cmd.Context(), yes, "removing this datacenter from its federation"); err != nil {
				return err
			}
			return a.callLong(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				return a.follow(ctx, "leaving", func() (*connect.ServerStreamForClient[controlpb.Progress], error) {
					return client.Leave(ctx, connect.NewRequest(&controlpb.LeaveRequest{Force: force}))
				})
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "skip the confirmation")
	cmd.Flags().BoolVar(&force, "force", false, "leave even if the catalog cannot be updated")
	return cmd
}

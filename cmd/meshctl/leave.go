package main

import (
	"context"

	"connectrpc.com/connect"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/spf13/cobra"
)

func newLeaveCommand(a *app) *cobra.Command {
	var yes, force bool
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "Take this datacenter out of the federation",
		Long: `Takes this datacenter out of the federation: the catalog forgets it, the others
stop trusting it at once, and this host's tunnels, routes and firewall rules
that Meshway made are removed. With --force also when no leader can be told.`,
		Example: `  meshctl leave
  meshctl leave --yes
  meshctl leave --yes --force           # the federation is gone or cannot be reached`,
		Args: noArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.confirm(cmd.Context(), yes, "taking this datacenter out of the federation"); err != nil {
				return err
			}
			return a.callLong(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				return a.follow(ctx, "leaving", func() (*connect.ServerStreamForClient[controlpb.Progress], error) {
					return client.Leave(ctx, connect.NewRequest(&controlpb.LeaveRequest{Force: force}))
				})
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&force, "force", false, "leave also when the catalog cannot be told")
	return cmd
}

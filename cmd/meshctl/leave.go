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
	var yes, force, release bool
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "Remove this datacenter from its federation",
		Long: `Removes this datacenter from its federation: the other members stop trusting it
at once, and tunnels and routes leave this host. It drops packets to the others,
also after a boot, until --release (at once, or after an earlier leave), a new
init or join, or an uninstallation. With --force it leaves even if no leader can
be reached; if only this gateway was removed, it enrols again instead.`,
		Example: `  meshctl leave --release               # drop no packets, also after a leave
  meshctl leave --yes --force           # the federation cannot be reached`,
		Args: command.NoArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			what := "removing this datacenter from its federation"
			if release {
				what = "sending packets to other datacenters unencrypted, and " + what
			}
			if err := a.confirm(cmd.Context(), yes, what); err != nil {
				return err
			}
			return a.callLong(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				return a.follow(ctx, "leaving", func() (*connect.ServerStreamForClient[controlpb.Progress], error) {
					return client.Leave(ctx, connect.NewRequest(&controlpb.LeaveRequest{Force: force, Release: release}))
				})
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "skip the confirmation")
	cmd.Flags().BoolVar(&release, "release", false, "drop no packets to the other datacenters after it")
	cmd.Flags().BoolVar(&force, "force", false, "leave even if the catalog cannot be updated")
	return cmd
}

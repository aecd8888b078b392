package main

import (
	"context"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/command"
)

func newCACommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "ca",
		Short:   "Operate the CA of this datacenter",
		Example: `  meshctl ca rotate`,
	}
	cmd.AddCommand(newCARotateCommand(a))
	return command.Parent(cmd)
}

func newCARotateCommand(a *app) *cobra.Command {
	var yes, dryRun, again bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the CA of this datacenter",
		Long: `Replaces the CA with which this datacenter is authenticated. The former CA signs
the new one, so that the gateways of all datacenters trust it without a command.
When all gateways of this datacenter use it, the former CA is no longer
trusted. Tunnels and traffic are not affected.

If the command is interrupted, run it again: it continues. All gateways of the
federation must run a version of meshd that supports it; otherwise it is
refused, and names those that do not.

If the key of the CA was stolen, its holder can replace the CA, too, and the
first one counts. Compare the fingerprints in meshctl trust show with the other
operators afterwards.`,
		Example: `  meshctl ca rotate --dry-run
  meshctl ca rotate --yes
  meshctl ca rotate --yes --context east`,
		Args: command.NoArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.confirm(cmd.Context(), yes || dryRun, "replacing the CA of this datacenter"); err != nil {
				return err
			}
			request := &controlpb.RotateCARequest{DryRun: dryRun, Again: again}
			return a.callLong(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				return a.follow(ctx, "replacing the CA", func() (*connect.ServerStreamForClient[controlpb.Progress], error) {
					return client.RotateCA(ctx, connect.NewRequest(request))
				})
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "skip the confirmation")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be done, and change nothing")
	cmd.Flags().BoolVar(&again, "again", false, "replace the CA also if it was replaced within the last hour")
	return cmd
}

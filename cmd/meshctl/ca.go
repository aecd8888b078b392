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
	cmd := &cobra.Command{Use: "ca", Short: "Operate the CA of this datacenter", Example: `  meshctl ca rotate`}
	cmd.AddCommand(newCARotateCommand(a))
	return command.Parent(cmd)
}

func newCARotateCommand(a *app) *cobra.Command {
	var yes bool
	request := new(controlpb.RotateCARequest)
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the CA of this datacenter",
		Long: `Replaces the CA with which this datacenter is authenticated. The former CA signs
the new one, so that all datacenters follow. When all gateways of this one use
it, the former CA is no longer trusted. Tunnels and traffic are not affected.
If the command is interrupted, run it again: it continues. It is refused, with
their names, while gateways of the federation do not support it.

If the key was stolen, its holder can replace the CA, too, and the first one
counts. Compare the fingerprints in meshctl trust show with the other operators.`,
		Example: `  meshctl ca rotate --dry-run
  meshctl ca rotate --yes --context east`,
		Args: command.NoArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.confirm(cmd.Context(), yes || request.DryRun, "replacing the CA of this datacenter"); err != nil {
				return err
			}
			return a.callLong(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				return a.follow(ctx, "replacing the CA", func() (*connect.ServerStreamForClient[controlpb.Progress], error) {
					return client.RotateCA(ctx, connect.NewRequest(request))
				})
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "skip the confirmation")
	cmd.Flags().BoolVar(&request.DryRun, "dry-run", false, "show what would be done, and change nothing")
	cmd.Flags().BoolVar(&request.Again, "again", false, "replace the CA also if it was replaced within the last hour")
	return cmd
}

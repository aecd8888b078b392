package main

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/retry"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
)

func newDrainCommand(a *app) *cobra.Command {
	var force bool
	var drainFor, wait time.Duration
	var limits retry.Limits
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Move traffic from this gateway to the others",
		Long: `Drains this gateway before maintenance of its host or its data plane. Gateways
of other datacenters and nodes of this one stop sending traffic to it, and
packets that still arrive are forwarded. The command returns when traffic has
ended, or after --wait. The drain survives a restart of meshd; ` + "`meshctl undrain`" + `
ends it.`,
		Example: `  meshctl drain
  meshctl drain --for 10m               # end the drain after 10 minutes
  meshctl drain --retry 10s             # retry while an upgrade replaces meshd
  meshctl drain --turn 1m               # wait for another drained gateway
  meshctl drain --force                 # even the only gateway of a datacenter`,
		Args: command.NoArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			request := &controlpb.DrainRequest{Force: force}
			if drainFor != 0 {
				request.For = durationpb.New(drainFor)
			}
			if wait != 0 {
				request.Bound = durationpb.New(wait)
			}
			return a.callLong(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				return limits.Do(ctx, func() error {
					return a.follow(ctx, "draining", func() (*connect.ServerStreamForClient[controlpb.Progress], error) {
						return client.Drain(ctx, connect.NewRequest(request))
					})
				})
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "drain even the only gateway of a datacenter; traffic keeps flowing through it")
	cmd.Flags().DurationVar(&drainFor, "for", 0, "end the drain after this time (default: never)")
	cmd.Flags().DurationVar(&wait, "wait", 0, "maximum time to wait for traffic to end (default 30s)")
	cmd.Flags().DurationVar(&limits.Restart, "retry", 0, "how long to retry while meshd restarts (default: no retry)")
	cmd.Flags().DurationVar(&limits.Siblings, "turn", 0, "how long to retry while all other gateways are drained (default: no retry)")
	return cmd
}

func newUndrainCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "undrain",
		Short: "Return traffic to this gateway",
		Long: `Ends the drain of this gateway: it carries traffic again. A gateway that is not
drained is not changed.`,
		Example: `  meshctl undrain`,
		Args:    command.NoArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				if _, err := client.Undrain(ctx, connect.NewRequest(&controlpb.UndrainRequest{})); err != nil {
					return err
				}
				return a.print(views.Done{Done: true}, line("this gateway is in use"))
			})
		},
	}
}

package main

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshway/meshway/agent/admin/adminclient"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
	"github.com/meshway/meshway/consensus/catalog"
)

// retryPause is the time between two attempts of a drain.
const retryPause = 250 * time.Millisecond

func newDrainCommand(a *app) *cobra.Command {
	var force bool
	var drainFor, wait time.Duration
	var limits retryLimits
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
		Args: noArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			request := &controlpb.DrainRequest{Force: force}
			if drainFor != 0 {
				request.For = durationpb.New(drainFor)
			}
			if wait != 0 {
				request.Bound = durationpb.New(wait)
			}
			return a.callLong(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				return limits.retry(ctx, func() error {
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
	cmd.Flags().DurationVar(&limits.restart, "retry", 0, "how long to retry while meshd restarts (default: no retry)")
	cmd.Flags().DurationVar(&limits.siblings, "turn", 0, "how long to retry while all other gateways are drained (default: no retry)")
	return cmd
}

// retryLimits holds how long to retry for each temporary failure.
type retryLimits struct {
	restart  time.Duration // meshd is stopped or has not read its membership yet
	siblings time.Duration // all other gateways are drained
}

// retry repeats do while it fails for a temporary reason and the limit of that
// reason has not passed.
func (l retryLimits) retry(ctx context.Context, do func() error) error {
	begun := time.Now()
	for {
		err := do()
		if err == nil || time.Since(begun) >= l.limit(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retryPause):
		}
	}
}

// limit returns how long to retry after err; 0 is not at all.
func (l retryLimits) limit(err error) time.Duration {
	if _, ok := errors.AsType[*adminclient.SocketError](err); ok {
		return l.restart
	}
	if refusal, ok := errors.AsType[*catalog.Refusal](rpc.FromConnect(err)); ok {
		switch refusal.Code {
		case "not-a-member":
			return l.restart
		case "siblings-drained":
			return l.siblings
		}
		return 0
	}
	if rpc, ok := errors.AsType[*connect.Error](err); ok && fault.ConnectionBroken(rpc) {
		return l.restart
	}
	return 0
}

func newUndrainCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "undrain",
		Short: "Return traffic to this gateway",
		Long: `Ends the drain of this gateway: it carries traffic again. A gateway that is not
drained is not changed.`,
		Example: `  meshctl undrain`,
		Args:    noArguments(),
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

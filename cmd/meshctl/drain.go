package main

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect"
	"github.com/meshway/meshway/agent/admin/adminclient"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"
)

// retryPause is between two attempts to speak to a meshd that starts.
const retryPause = 250 * time.Millisecond

func newDrainCommand(a *app) *cobra.Command {
	var force bool
	var comeBack, bound time.Duration
	var p patience
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Take this gateway out of use, without a loss",
		Long: `Takes this gateway out of use, before work on its host or its data plane: gateways
of other datacenters and the nodes of this one are told to send nothing more here,
and what still arrives is sent on. It returns when nothing arrives any more, or
after --wait. The drain outlives a restart of meshd; meshctl undrain ends it.`,
		Example: `  meshctl drain
  meshctl drain --for 10m               # comes back by itself
  meshctl drain --retry 10s             # also while an upgrade replaces meshd
  meshctl drain --turn 1m               # after another one that is drained just now
  meshctl drain --force                 # also the only gateway of its datacenter`,
		Args: noArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			request := &controlpb.DrainRequest{Force: force}
			if comeBack != 0 {
				request.For = durationpb.New(comeBack)
			}
			if bound != 0 {
				request.Bound = durationpb.New(bound)
			}
			return a.callLong(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				return p.again(ctx, func() error {
					return a.follow(ctx, "draining", func() (*connect.ServerStreamForClient[controlpb.Progress], error) {
						return client.Drain(ctx, connect.NewRequest(request))
					})
				})
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "drain also the only gateway of a datacenter; its traffic still passes here")
	cmd.Flags().DurationVar(&comeBack, "for", 0, "take it back into use after this time (default: never)")
	cmd.Flags().DurationVar(&bound, "wait", 0, "longest wait for traffic to end (default 30s)")
	cmd.Flags().DurationVar(&p.replaced, "retry", 0, "how long to try again while meshd is replaced (default: not at all)")
	cmd.Flags().DurationVar(&p.turn, "turn", 0, "how long to wait while all other gateways are drained (default: not at all)")
	return cmd
}

// patience is how long to try again for each reason that passes.
type patience struct {
	replaced time.Duration // a meshd that ends, or has not read its membership yet
	turn     time.Duration // all other gateways are drained
}

// again repeats do while it fails for a reason that passes.
func (p patience) again(ctx context.Context, do func() error) error {
	begun := time.Now()
	for {
		err := do()
		if err == nil || time.Since(begun) >= p.with(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retryPause):
		}
	}
}

func (p patience) with(err error) time.Duration {
	if _, ok := errors.AsType[*adminclient.SocketError](err); ok {
		return p.replaced
	}
	if refusal, ok := errors.AsType[*catalog.Refusal](rpc.FromConnect(err)); ok {
		switch refusal.Code {
		case "not-a-member":
			return p.replaced
		case "siblings-drained":
			return p.turn
		}
		return 0
	}
	if rpc, ok := errors.AsType[*connect.Error](err); ok && hungUp(rpc) {
		return p.replaced
	}
	return 0
}

func newUndrainCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "undrain",
		Short:   "Take this gateway back into use",
		Long:    `Takes this gateway back into use after meshctl drain. One that is in use stays so.`,
		Example: `  meshctl undrain`,
		Args:    noArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				if _, err := client.Undrain(ctx, connect.NewRequest(&controlpb.UndrainRequest{})); err != nil {
					return err
				}
				return a.print(doneView{Done: true}, line("this gateway is in use"))
			})
		},
	}
}

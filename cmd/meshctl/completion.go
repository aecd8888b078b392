package main

import (
	"context"
	"slices"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
)

// completionTimeout limits how long a completion waits for meshd.
const completionTimeout = time.Second

// completeWith completes the only argument of a command with the words that
// list returns, and offers nothing if meshd does not answer. Lists use stale
// reads, so that completion works without a leader.
func (a *app) completeWith(cmd *cobra.Command, args []string, list func(context.Context, controlpbconnect.OperatorClient) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	err := a.callWithin(cmd, completionTimeout, func(ctx context.Context, client controlpbconnect.OperatorClient) (err error) {
		words, err = list(ctx, client)
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	slices.Sort(words)
	return slices.Compact(words), cobra.ShellCompDirectiveNoFileComp
}

func (a *app) completeServices(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.completeWith(cmd, args, func(ctx context.Context, client controlpbconnect.OperatorClient) ([]string, error) {
		response, err := client.ListServices(ctx, connect.NewRequest(&controlpb.ListServicesRequest{Mode: controlpb.ReadMode_READ_MODE_STALE}))
		if err != nil {
			return nil, err
		}
		var names []string
		for _, service := range response.Msg.GetServices() {
			names = append(names, service.GetName())
		}
		return names, nil
	})
}

func (a *app) completeTokens(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.completeWith(cmd, args, func(ctx context.Context, client controlpbconnect.OperatorClient) ([]string, error) {
		response, err := client.ListTokens(ctx, connect.NewRequest(&controlpb.ListTokensRequest{Mode: controlpb.ReadMode_READ_MODE_STALE}))
		if err != nil {
			return nil, err
		}
		var ids []string
		for _, token := range views.NewTokens(response.Msg, a.now()).Tokens {
			if token.State == "valid" {
				ids = append(ids, token.ID)
			}
		}
		return ids, nil
	})
}

func (a *app) completePeers(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.completeWith(cmd, args, func(ctx context.Context, client controlpbconnect.OperatorClient) ([]string, error) {
		response, err := client.ListPeers(ctx, connect.NewRequest(&controlpb.ListPeersRequest{}))
		if err != nil {
			return nil, err
		}
		var ids []string
		for _, peer := range response.Msg.GetPeers() {
			ids = append(ids, peer.GetId())
		}
		return ids, nil
	})
}

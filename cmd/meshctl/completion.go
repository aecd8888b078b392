package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/completion"
)

// completionTimeout limits how long a completion waits for meshd.
const completionTimeout = time.Second

// completeWith completes the only argument of a command with the words that
// list returns, and offers nothing if meshd does not answer.
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
	return a.completeWith(cmd, args, completion.Services)
}

func (a *app) completeTokens(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.completeWith(cmd, args, completion.Tokens(a.now()))
}

func (a *app) completePeers(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.completeWith(cmd, args, completion.Peers)
}

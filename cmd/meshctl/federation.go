package main

import (
	"context"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
)

func newFederationCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "federation",
		Short:   "Configure what the members of the federation agree on",
		Example: `  meshctl federation allow 203.0.113.0/24`,
	}
	cmd.AddCommand(newAllowCommand(a))
	return command.Parent(cmd)
}

func newAllowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "allow PREFIX...",
		Short: "Allow other datacenters to announce prefixes that are not private",
		Long: `Allows the other datacenters to announce prefixes inside the given ranges. The
catalog accepts other new prefixes in the private ranges only (10.0.0.0/8,
172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10 and fc00::/7), so that no member
takes addresses of the internet. A datacenter cannot allow ranges for itself.

All gateways must run a version of meshd that supports the command; otherwise it
is refused, and names those that do not.`,
		Example: `  meshctl federation allow 203.0.113.0/24
  meshctl federation allow 198.51.100.0/24 2001:db8:7::/48`,
		Args: command.Positional(1, 64, "a prefix"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				response, err := client.AllowPrefixes(ctx, connect.NewRequest(&controlpb.AllowPrefixesRequest{Cidrs: args}))
				if err != nil {
					return err
				}
				return a.print(views.NewAllowed(response.Msg), line("other datacenters may announce prefixes in %s", strings.Join(args, ", ")))
			})
		},
	}
}

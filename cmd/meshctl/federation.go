package main

import (
	"context"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/limits"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
)

func newFederationCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "federation",
		Short:   "Configure what the members of the federation agree on",
		Example: `  meshctl federation allow 203.0.113.0/24`,
	}
	cmd.AddCommand(newAllowCommand(a), newLimitsCommand(a))
	return command.Parent(cmd)
}

func newAllowCommand(a *app) *cobra.Command {
	var remove bool
	cmd := &cobra.Command{
		Use:   "allow [PREFIX...]",
		Short: "Allow other datacenters to announce prefixes that are not private",
		Long: `Allows the other datacenters to announce prefixes inside the given ranges, or
lists all ranges that are allowed. The catalog accepts other new prefixes in the
private ranges only (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10
and fc00::/7), so that no member takes addresses of the internet. A datacenter
cannot allow ranges for itself, nor for one that it invited in the last week
unless it founded the federation. Only the one that allows a range removes it.
Prefixes that were announced in it stay, and the status reports them.
It is refused, with their names, while gateways do not support it.`,
		Example: `  meshctl federation allow                # list the ranges
  meshctl federation allow 198.51.100.0/24 2001:db8:7::/48
  meshctl federation allow --remove 198.51.100.0/24`,
		Args: command.Positional(0, 64, "a prefix"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request, message := &controlpb.AllowPrefixesRequest{Cidrs: args}, "other datacenters may announce prefixes in %s"
			if remove {
				request.Removed, request.Cidrs, message = args, nil, "this datacenter no longer allows prefixes in %s"
			}
			return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				response, err := client.AllowPrefixes(ctx, connect.NewRequest(request))
				if err != nil {
					return err
				}
				view := views.NewAllowed(response.Msg)
				if len(args) == 0 {
					return a.print(view, a.table(views.AllowedTable(view), "only the private ranges"))
				}
				return a.print(view, line(message, strings.Join(args, ", ")))
			})
		},
	}
	cmd.Flags().BoolVar(&remove, "remove", false, "remove ranges that this datacenter allows")
	return cmd
}

func newLimitsCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "limits",
		Short: "List or raise how much other datacenters may have in the catalog",
		Long:  limits.Help,
		Example: `  meshctl federation limits               # list them
  meshctl federation limits --services 20000 --memory 96
  meshctl federation limits --services 0`,
		Args: command.NoArguments(),
	}
	request := limits.Flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
			response, err := client.SetLimits(ctx, connect.NewRequest(request()))
			if err != nil {
				return err
			}
			view := views.NewLimits(response.Msg)
			if text := limits.Text(request()); text != "" {
				return a.print(view, line("set the limits of the other datacenters: %s", text))
			}
			return a.print(view, a.table(views.LimitsTable(view), ""))
		})
	}
	return cmd
}

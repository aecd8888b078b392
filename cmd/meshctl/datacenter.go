package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
	"github.com/meshway/meshway/cmd/meshctl/internal/output"
	"github.com/meshway/meshway/cmd/meshctl/internal/render"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
)

func newDatacenterCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "datacenter",
		Short:   "Remove another datacenter from the federation",
		Example: `  meshctl datacenter remove west`,
	}
	cmd.AddCommand(newRemoveDatacenterCommand(a))
	return command.Parent(cmd)
}

func newRemoveDatacenterCommand(a *app) *cobra.Command {
	var yes, force bool
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a datacenter that cannot leave by itself",
		Long: `Removes a datacenter that is permanently lost, or that left with --force while
it was cut off. Its name, prefixes and services are released, the other members
no longer trust it, and its gateways lose their Raft votes. If a removed
datacenter comes back, it has to run ` + "`meshctl leave --force`" + ` and join again.

For a datacenter that still runs, use ` + "`meshctl leave`" + ` there instead. The command
is refused if the leader of the catalog has received packets from the datacenter
within the last minute, unless --force is given, and always if the remaining
voters would have no majority. With --force, a datacenter that runs is removed
only after a second datacenter has run the command too, within ten minutes,
unless the federation has two, or the datacenter was invited by the first one in
the last week. Two of which one invited the other in the last week, or that a
third invited, count as one. All gateways must support the command: an older
meshd stops when it receives it.`,
		Example: `  meshctl datacenter remove west
  meshctl datacenter remove west --yes
  meshctl datacenter remove west --yes --force    # although it is reachable`,
		Args:              command.Positional(1, 1, "the name of a datacenter"),
		ValidArgsFunction: a.completeOtherDatacenters,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.confirmRemoval(cmd, yes, args[0]); err != nil {
				return err
			}
			request := &controlpb.RemoveDatacenterRequest{Datacenter: args[0], Force: force}
			return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				response, err := client.RemoveDatacenter(ctx, connect.NewRequest(request))
				if err != nil {
					return err
				}
				view := views.NewRemovedDatacenter(response.Msg)
				if err := a.print(view, view.Table); err != nil {
					return err
				}
				a.hint("if it comes back: run `meshctl leave --force` there, then join again")
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "skip the confirmation")
	cmd.Flags().BoolVar(&force, "force", false, "remove even a datacenter that was reachable within the last minute")
	return cmd
}

// confirmRemoval shows on a terminal what a removal deletes, and requires
// confirmation.
func (a *app) confirmRemoval(cmd *cobra.Command, yes bool, name string) error {
	action := "removing datacenter " + name + " from the federation"
	if _, interactive := output.Terminal(a.in); interactive && !yes {
		err := a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
			snapshot, _, err := fetchStatus(ctx, client)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(snapshot.Datacenters, func(dc status.Datacenter) bool { return dc.Name == name })
			if i < 0 {
				return nil // the local copy may be old; the leader decides
			}
			_, err = io.WriteString(a.err, removalWarning(snapshot.Datacenters[i]))
			return err
		})
		if err != nil {
			return err
		}
	}
	return a.confirm(cmd.Context(), yes, action)
}

// removalWarning describes the effects of removing a datacenter, one a line.
func removalWarning(dc status.Datacenter) string {
	gateways := make([]string, 0, len(dc.Gateways))
	for _, g := range dc.Gateways {
		gateways = append(gateways, fmt.Sprintf("%s (%s)", g.ID, render.Role(g)))
	}
	lines := []string{
		"This removes datacenter " + dc.Name + " from the federation:",
		"  released: its name, " + cmp.Or(render.PrefixList(dc.Prefixes), "no prefixes"),
		fmt.Sprintf("  deleted: its %d services and all its exports", dc.Services),
		"  trust ends: its tunnels and routes are removed, its tokens are revoked",
		"  removed from Raft: " + cmp.Or(strings.Join(gateways, ", "), "no gateways"),
	}
	if dc.Reachable {
		lines = append(lines, "  It is reachable now: prefer `meshctl leave` there.")
	}
	for i, l := range lines {
		lines[i] = human.Clean(l) + "\n"
	}
	return strings.Join(lines, "")
}

// completeOtherDatacenters offers the datacenters that can be removed.
func (a *app) completeOtherDatacenters(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.completeWith(cmd, args, func(ctx context.Context, client controlpbconnect.OperatorClient) ([]string, error) {
		snapshot, _, err := fetchStatus(ctx, client)
		if err != nil {
			return nil, err
		}
		var names []string
		for _, dc := range snapshot.Datacenters {
			if !dc.Self {
				names = append(names, dc.Name)
			}
		}
		return names, nil
	})
}

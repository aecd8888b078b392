package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
	"github.com/spf13/cobra"
)

func newDatacenterCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "datacenter",
		Short:   "Take out a datacenter that is gone for good",
		Example: `  meshctl datacenter remove west`,
	}
	cmd.AddCommand(newRemoveDatacenterCommand(a))
	return asParent(cmd)
}

func newRemoveDatacenterCommand(a *app) *cobra.Command {
	var yes, force bool
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove another datacenter, one that cannot leave by itself",
		Long: `Removes a datacenter that is gone for good, or that left with --force while it was
cut off: its name, prefixes and services are free, the others trust it no more,
and its gateways leave raft with their votes. One that still runs is taken out with
` + "`meshctl leave`" + ` over there. If it comes back, it stays outside until it has run
` + "`meshctl leave --force`" + ` and joined again.

Refused for a datacenter that the catalog's leader has heard in the last minute,
unless forced, and whenever the others could not decide without its votes. All
gateways must know this command: an older meshd stops when it meets it.`,
		Example: `  meshctl datacenter remove west
  meshctl datacenter remove west --yes
  meshctl datacenter remove west --yes --force    # though it was heard just now`,
		Args:              positional(1, 1, "the name of a datacenter"),
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
				view := newRemovedDatacenterView(response.Msg)
				if err := a.print(view, view.table); err != nil {
					return err
				}
				a.hint("if it comes back: `meshctl leave --force` over there, then join again")
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&force, "force", false, "remove also a datacenter that was heard in the last minute")
	return cmd
}

// confirmRemoval tells a person on a terminal what is lost before it asks.
func (a *app) confirmRemoval(cmd *cobra.Command, yes bool, name string) error {
	question := "removing datacenter " + name + " from the federation"
	if _, interactive := terminal(a.in); interactive && !yes {
		err := a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
			snapshot, _, err := fetchStatus(ctx, client)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(snapshot.Datacenters, func(dc status.Datacenter) bool { return dc.Name == name })
			if i < 0 {
				return nil // this copy does not have it; the catalog decides
			}
			_, err = io.WriteString(a.err, forewarning(snapshot.Datacenters[i]))
			return err
		})
		if err != nil {
			return err
		}
	}
	return a.confirm(cmd.Context(), yes, question)
}

// forewarning says what removing a datacenter does.
func forewarning(dc status.Datacenter) string {
	gateways := make([]string, 0, len(dc.Gateways))
	for _, g := range dc.Gateways {
		gateways = append(gateways, fmt.Sprintf("%s (%s)", g.ID, role(g)))
	}
	lines := []string{
		"This removes datacenter " + dc.Name + " for all members:",
		"  freed: its name, " + orElse(prefixList(dc.Prefixes), "no prefixes"),
		fmt.Sprintf("  forgotten: its %d services and all that it exports", dc.Services),
		"  trust ends: its tunnels and routes go, its tokens are revoked",
		"  leave raft: " + orElse(strings.Join(gateways, ", "), "no gateways"),
	}
	if dc.Reachable {
		lines = append(lines, "  It is reachable now: `meshctl leave` over there is the better way.")
	}
	for i, l := range lines {
		lines[i] = human.Clean(l) + "\n"
	}
	return strings.Join(lines, "")
}

// removedDatacenterView tells what is free now.
type removedDatacenterView struct {
	Datacenter string   `json:"datacenter"`
	Prefixes   []string `json:"prefixes"` // CIDRs
	Gateways   []string `json:"gateways"` // ids
	Index      uint64   `json:"index"`
}

func newRemovedDatacenterView(r *controlpb.RemoveDatacenterResponse) removedDatacenterView {
	view := removedDatacenterView{
		Datacenter: r.GetDatacenter().GetName(), Index: r.GetIndex(),
		Prefixes: []string{}, Gateways: append([]string{}, r.GetGateways()...),
	}
	for _, p := range r.GetDatacenter().GetPrefixes() {
		view.Prefixes = append(view.Prefixes, p.GetCidr())
	}
	return view
}

func (v removedDatacenterView) table(w io.Writer) error {
	free := strings.Join(append([]string{"its name"}, v.Prefixes...), ", ")
	return line("datacenter %s removed; free again: %s; leaving raft: %s", v.Datacenter, free, orElse(strings.Join(v.Gateways, ", "), "nobody"))(w)
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

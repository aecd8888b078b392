package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
	"github.com/spf13/cobra"
)

func newServicesCommand(a *app) *cobra.Command {
	request := &controlpb.ListServicesRequest{}
	mode := readLease
	cmd := &cobra.Command{
		Use:   "services [NAME]",
		Short: "List the services of the federation",
		Example: `  meshctl services
  meshctl services web --datacenter east
  meshctl services --read stale         # without a leader, from the local copy
  meshctl services --read consistent -o yaml`,
		Args:              positional(0, 1, "one name"),
		ValidArgsFunction: a.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Mode = mode.proto()
			if len(args) == 1 {
				request.Name = args[0]
			}
			return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				return listServices(ctx, a, client, request)
			})
		},
	}
	cmd.Flags().StringVar(&request.Namespace, "namespace", "", "list only services of this namespace (default: all)")
	cmd.Flags().StringVar(&request.Datacenter, "datacenter", "", "list only services of this datacenter (default: all)")
	mode.flag(cmd)
	return cmd
}

func listServices(ctx context.Context, a *app, client controlpbconnect.OperatorClient, request *controlpb.ListServicesRequest) error {
	response, err := client.ListServices(ctx, connect.NewRequest(request))
	if err != nil {
		return err
	}
	view := newServicesView(response.Msg)
	if err := a.print(view, a.table(servicesTable(view.Services), "no services")); err != nil {
		return err
	}
	if request.GetMode() == controlpb.ReadMode_READ_MODE_STALE {
		a.hint("%s", staleness(view.Freshness))
	}
	return nil
}

// staleness describes the age of a stale read.
func staleness(f freshnessView) string {
	leader := "no known leader"
	if f.Leader != "" {
		leader = fmt.Sprintf("last contact with leader %s %s ago", f.Leader, human.Duration(f.LastContact))
	}
	return fmt.Sprintf("from the local copy at index %d; %s", f.Index, leader)
}

func servicesTable(services []serviceView) human.Table {
	table := human.Table{Columns: []human.Column{
		{Title: "NAME", Min: 8},
		{Title: "NAMESPACE", Min: 9, Drop: 3},
		{Title: "DATACENTER", Min: 10},
		{Title: "ADDRESS", Min: 12},
		{Title: "PORTS", Min: 8},
		{Title: "INSTANCE", Min: 8, Drop: 2},
		{Title: "OWNER", Min: 8, Drop: 1},
		{Title: "LABELS", Min: 6, Drop: 1},
		{Title: "INDEX", Right: true, Drop: 1},
	}}
	for _, s := range services {
		table.Rows = append(table.Rows, human.Text(s.Name, s.Namespace, s.Datacenter, s.Address, portList(s.Ports),
			orElse(s.Instance, "-"), s.Owner, orElse(labelList(s.Labels), "-"), strconv.FormatUint(s.Index, 10)))
	}
	return table
}

func portList(ports []portView) string {
	texts := make([]string, 0, len(ports))
	for _, p := range ports {
		text := fmt.Sprintf("%d/%s", p.Port, p.Protocol)
		if p.Name != "" {
			text = p.Name + ":" + text
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ",")
}

func labelList(labels map[string]string) string {
	texts := make([]string, 0, len(labels))
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		texts = append(texts, key+"="+labels[key])
	}
	return strings.Join(texts, ",")
}

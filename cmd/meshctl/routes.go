package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/render"
)

func newRoutesCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "routes [ADDRESS]",
		Short: "Show the kernel's routes and their tunnels",
		Long: `Shows Meshway's routing table in the kernel: each route with its kind,
datacenter and tunnels, whether it is installed as planned, and the protocol
that created it. With an address, shows the kernel's route to that address.`,
		Example: `  meshctl routes
  meshctl routes 10.42.0.17
  meshctl routes -o json | jq '.routes[] | select(.state != "installed")'`,
		Args: command.Positional(0, 1, "one address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request := &controlpb.RoutesRequest{}
			if len(args) == 1 {
				address, err := netip.ParseAddr(args[0])
				if err != nil {
					return &fault.Fault{
						Code:    fault.ExitUsage,
						Message: fmt.Sprintf("%q is not an IP address", args[0]),
						Field:   "ADDRESS",
						Remedy:  "give one IP address, such as 10.42.0.17",
						Usage:   cmd.UseLine(),
					}
				}
				request.Destination = address.String()
			}
			return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				return showRoutes(ctx, a, client, request)
			})
		},
	}
}

func showRoutes(ctx context.Context, a *app, client controlpbconnect.OperatorClient, request *controlpb.RoutesRequest) error {
	response, err := client.Routes(ctx, connect.NewRequest(request))
	if err != nil {
		return err
	}
	if a.structured() {
		return a.printJSON(response.Msg.GetReportJson())
	}
	var report status.RoutesReport
	if err := json.Unmarshal(response.Msg.GetReportJson(), &report); err != nil {
		return fmt.Errorf("decode routes of meshd: %w", err)
	}
	if report.Destination != nil {
		return render.ExplainDestination(a.out, *report.Destination)
	}
	render.PrintRules(a.out, a.paint(a.out), report)
	return a.table(render.RoutesTable(report.Routes), "no routes: no other datacenter is known")(a.out)
}

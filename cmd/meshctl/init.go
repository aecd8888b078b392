package main

import (
	"context"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
)

func newInitCommand(a *app) *cobra.Command {
	request := &controlpb.InitFederationRequest{}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Create a federation with this datacenter as its first member",
		Long: `Creates a federation whose first member is this datacenter. Other datacenters
join it with a token: see ` + "`meshctl token create`.",
		Example: `  meshctl init
  meshctl init --name prod --overlay fd5e:1f0c:77aa::/48
  meshctl init --allow 198.18.0.0/15    # the others may announce prefixes in it`,
		Args: command.NoArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				return initFederation(ctx, a, client, request)
			})
		},
	}
	cmd.Flags().StringVar(&request.Name, "name", "meshway", "name of the federation, a DNS label")
	cmd.Flags().StringVar(&request.Overlay, "overlay", "", "CIDR of the overlay addresses of gateways (default: a random ULA /48)")
	cmd.Flags().StringSliceVar(&request.Allow, "allow", nil, "ranges in which datacenters that join may announce prefixes, besides the private ones; see meshctl federation allow")
	return cmd
}

func initFederation(ctx context.Context, a *app, client controlpbconnect.OperatorClient, request *controlpb.InitFederationRequest) error {
	response, err := client.InitFederation(ctx, connect.NewRequest(request))
	if err != nil {
		return err
	}
	f := response.Msg.GetFederation()
	view := views.Init{
		Federation: views.Federation{
			ID:        f.GetId(),
			Name:      f.GetName(),
			Overlay:   f.GetOverlay(),
			CreatedAt: views.TimeOf(f.GetCreatedAt()),
		},
		Gateway:        response.Msg.GetGateway(),
		OverlayAddress: response.Msg.GetOverlayAddress(),
	}
	err = a.print(view, line("federation %s created (id %s, overlay %s): its first gateway is %s with overlay address %s",
		view.Federation.Name, view.Federation.ID, view.Federation.Overlay, view.Gateway, view.OverlayAddress))
	if err != nil {
		return err
	}
	a.hint("next: run `meshctl token create` here, then `meshctl join` on a gateway of the other datacenter")
	return nil
}

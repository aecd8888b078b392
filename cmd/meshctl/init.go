package main

import (
	"context"

	"connectrpc.com/connect"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/spf13/cobra"
)

func newInitCommand(a *app) *cobra.Command {
	request := &controlpb.InitFederationRequest{}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a federation out of this datacenter",
		Long: `Makes a federation of which this datacenter is the first member. Others join it
with a token: see ` + "`meshctl token create`.",
		Example: `  meshctl init
  meshctl init --name prod --overlay fd5e:1f0c:77aa::/48`,
		Args: noArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				return initFederation(ctx, a, client, request)
			})
		},
	}
	cmd.Flags().StringVar(&request.Name, "name", "meshway", "name of the federation, a DNS label")
	cmd.Flags().StringVar(&request.Overlay, "overlay", "", "CIDR from which gateways get their overlay addresses (default: a random ULA /48)")
	return cmd
}

func initFederation(ctx context.Context, a *app, client controlpbconnect.OperatorClient, request *controlpb.InitFederationRequest) error {
	response, err := client.InitFederation(ctx, connect.NewRequest(request))
	if err != nil {
		return err
	}
	f := response.Msg.GetFederation()
	view := initView{
		Federation:     federationView{ID: f.GetId(), Name: f.GetName(), Overlay: f.GetOverlay(), CreatedAt: timeOf(f.GetCreatedAt())},
		Gateway:        response.Msg.GetGateway(),
		OverlayAddress: response.Msg.GetOverlayAddress(),
	}
	err = a.print(view, line("federation %s made (id %s, overlay %s): gateway %s is its first member, overlay address %s",
		view.Federation.Name, view.Federation.ID, view.Federation.Overlay, view.Gateway, view.OverlayAddress))
	if err != nil {
		return err
	}
	a.hint("next: `meshctl token create` here, then `meshctl join` on a gateway of the other datacenter")
	return nil
}

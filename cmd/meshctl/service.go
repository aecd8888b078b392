package main

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
	"github.com/meshway/meshway/cmd/meshctl/internal/registration"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

const defaultNamespace = "default"

func newServiceCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "service",
		Short: "Register and deregister services of this datacenter",
		Example: `  meshctl service register web --address 10.1.0.5 --port http:80/tcp
  meshctl service deregister web`,
	}
	cmd.AddCommand(newRegisterCommand(a), newDeregisterCommand(a))
	return command.Parent(cmd)
}

func newRegisterCommand(a *app) *cobra.Command {
	var r registration.Flags
	cmd := &cobra.Command{
		Use:   "register NAME --address ADDRESS --port PORT",
		Short: "Register an instance of a service",
		Long: `Registers an instance of a service of this datacenter in the catalog, where all
datacenters see it. Registering it again replaces it. Without a leader meshd
keeps the registration on disk and writes it when a leader is elected.`,
		Example: `  meshctl service register web --address 10.1.0.5 --port 80/tcp
  meshctl service register dns --address 10.1.0.9 --port a:53/udp --port b:53
  meshctl service register web --instance b --address 10.1.0.6 --port 80`,
		Args: command.Positional(1, 1, "the name of a service"),
		RunE: func(cmd *cobra.Command, args []string) error {
			service, err := r.Service(args[0])
			if err != nil {
				return err
			}
			return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				return register(ctx, a, client, service)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&r.Address, "address", "", "IP address of the instance, in one of this datacenter's prefixes")
	flags.StringArrayVar(&r.Ports, "port", nil, "[NAME:]PORT[/tcp|udp], such as 80, 53/udp or http:80/tcp (repeatable)")
	flags.StringVar(&r.Namespace, "namespace", defaultNamespace, "namespace of the service")
	flags.StringVar(&r.Instance, "instance", "", "name of the instance, unique in the service")
	flags.StringToStringVar(&r.Labels, "label", nil, "label, key=value (repeatable)")
	return cmd
}

func register(ctx context.Context, a *app, client controlpbconnect.OperatorClient, service *catalogpb.Service) error {
	response, err := client.RegisterService(ctx, connect.NewRequest(&controlpb.RegisterServiceRequest{Service: service}))
	if err != nil {
		return err
	}
	view := views.Registered{Index: response.Msg.GetIndex(), Queued: response.Msg.GetQueued()}
	if view.Queued {
		return a.print(view, line("service %s is queued on this gateway: there is no leader now; it is registered when one is elected", service.GetName()))
	}
	return a.print(view, line("service %s registered at index %d", service.GetName(), view.Index))
}

func newDeregisterCommand(a *app) *cobra.Command {
	request := &controlpb.DeregisterServiceRequest{}
	cmd := &cobra.Command{
		Use:   "deregister NAME",
		Short: "Remove a service of this datacenter from the catalog",
		Long: `Removes all instances of a service of this datacenter from the catalog, or with
--instance one of them.`,
		Example: `  meshctl service deregister web
  meshctl service deregister web --instance b`,
		Args:              command.Positional(1, 1, "the name of a service"),
		ValidArgsFunction: a.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Name = args[0]
			return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				return deregister(ctx, a, client, request)
			})
		},
	}
	cmd.Flags().StringVar(&request.Namespace, "namespace", defaultNamespace, "namespace of the service")
	cmd.Flags().StringVar(&request.Instance, "instance", "", "remove only this instance (default: all of this datacenter)")
	return cmd
}

func deregister(ctx context.Context, a *app, client controlpbconnect.OperatorClient, request *controlpb.DeregisterServiceRequest) error {
	response, err := client.DeregisterService(ctx, connect.NewRequest(request))
	if err != nil {
		return err
	}
	view := views.Deregistered{Removed: response.Msg.GetRemoved(), Queued: response.Msg.GetQueued()}
	switch {
	case view.Queued:
		return a.print(view, line("the removal of service %s is queued on this gateway: there is no leader now; it is done when one is elected", request.GetName()))
	case view.Removed == 0:
		return &fault.Fault{
			Code:    fault.ExitFailure,
			Field:   "NAME",
			Message: fmt.Sprintf("this datacenter has not registered a service %s in namespace %s", request.GetName(), request.GetNamespace()),
			Remedy:  "run `meshctl services` to list names, namespaces and instances",
		}
	}
	return a.print(view, line("service %s: %s removed", request.GetName(), human.Count(int(view.Removed), "instance")))
}

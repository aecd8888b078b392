package main

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
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
	return asParent(cmd)
}

// registration holds the flags of register.
type registration struct {
	namespace, instance, address string
	ports                        []string
	labels                       map[string]string
}

func newRegisterCommand(a *app) *cobra.Command {
	var r registration
	cmd := &cobra.Command{
		Use:   "register NAME --address ADDRESS --port PORT",
		Short: "Register an instance of a service",
		Long: `Registers an instance of a service of this datacenter in the catalog, where all
datacenters see it. Registering it again replaces it. Without a leader meshd
keeps the registration on disk and writes it when a leader is elected.`,
		Example: `  meshctl service register web --address 10.1.0.5 --port 80/tcp
  meshctl service register dns --address 10.1.0.9 --port a:53/udp --port b:53
  meshctl service register web --instance b --address 10.1.0.6 --port 80`,
		Args: positional(1, 1, "the name of a service"),
		RunE: func(cmd *cobra.Command, args []string) error {
			service, err := r.service(args[0])
			if err != nil {
				return err
			}
			return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				return register(ctx, a, client, service)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&r.address, "address", "", "IP address of the instance, in one of this datacenter's prefixes")
	flags.StringArrayVar(&r.ports, "port", nil, "[NAME:]PORT[/tcp|udp], such as 80, 53/udp or http:80/tcp (repeatable)")
	flags.StringVar(&r.namespace, "namespace", defaultNamespace, "namespace of the service")
	flags.StringVar(&r.instance, "instance", "", "name of the instance, unique in the service")
	flags.StringToStringVar(&r.labels, "label", nil, "label, key=value (repeatable)")
	return cmd
}

func (r registration) service(name string) (*catalogpb.Service, error) {
	address, err := netip.ParseAddr(r.address)
	if err != nil {
		return nil, &fault.Fault{
			Code:    fault.ExitUsage,
			Message: fmt.Sprintf("%q is not an IP address", r.address),
			Field:   "--address",
			Remedy:  "give the address of the service, such as 10.1.0.5",
		}
	}
	if len(r.ports) == 0 {
		return nil, &fault.Fault{
			Code:    fault.ExitUsage,
			Message: "a service needs a port",
			Field:   "--port",
			Remedy:  "give one or more, such as --port 80/tcp",
		}
	}
	service := &catalogpb.Service{
		Namespace: r.namespace,
		Name:      name,
		Instance:  r.instance,
		Address:   address.String(),
		Labels:    r.labels,
	}
	for _, text := range r.ports {
		port, err := parsePort(text)
		if err != nil {
			return nil, err
		}
		service.Ports = append(service.Ports, port)
	}
	return service, nil
}

// parsePort parses [name:]number[/protocol]; the default protocol is tcp.
func parsePort(text string) (*catalogpb.Port, error) {
	wrong := &fault.Fault{
		Code:    fault.ExitUsage,
		Message: fmt.Sprintf("%q is not a port", text),
		Field:   "--port",
		Remedy:  "write [name:]number[/tcp|udp] with a number from 1 to 65535, such as http:80/tcp",
	}
	rest, name := text, ""
	if before, after, named := strings.Cut(text, ":"); named {
		name, rest = before, after
		if name == "" {
			return nil, wrong
		}
	}
	digits, protocol, given := strings.Cut(rest, "/")
	if !given {
		protocol = "tcp"
	}
	number, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || number == 0 || (protocol != "tcp" && protocol != "udp") {
		return nil, wrong
	}
	return &catalogpb.Port{
		Name:     name,
		Protocol: protocol,
		Number:   uint32(number),
	}, nil
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
		Args:              positional(1, 1, "the name of a service"),
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

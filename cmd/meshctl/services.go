package main

import (
	"context"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/admin/adminclient"
	"github.com/meshway/meshway/agent/api/apiclient"
	"github.com/meshway/meshway/agent/api/apipb"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
	"github.com/meshway/meshway/cmd/meshctl/internal/watch"
)

func newServicesCommand(a *app) *cobra.Command {
	request := &controlpb.ListServicesRequest{}
	mode := command.ReadLease
	var follow bool
	cmd := &cobra.Command{
		Use:   "services [NAME]",
		Short: "List the services of the federation",
		Long: `Lists the services that sites registered, and those that Kubernetes clusters
export: for these, ADDRESS is the number of ready endpoints.`,
		Example: `  meshctl services
  meshctl services web --datacenter east
  meshctl services --read stale         # without a leader, from the local copy
  meshctl services --read consistent -o yaml
  meshctl services --watch              # and then each change; see watch`,
		Args:              command.Positional(0, 1, "one name"),
		ValidArgsFunction: a.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Mode = mode.Proto()
			if len(args) == 1 {
				request.Name = args[0]
			}
			if follow {
				return a.watcher().Run(cmd.Context(), &apipb.WatchRequest{
					Name: request.GetName(), Namespace: request.GetNamespace(), Datacenter: request.GetDatacenter(), Read: mode.String(),
				})
			}
			return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				return listServices(ctx, a, client, request)
			})
		},
	}
	cmd.Flags().StringVar(&request.Namespace, "namespace", "", "list only services of this namespace (default: all)")
	cmd.Flags().StringVar(&request.Datacenter, "datacenter", "", "list only services of this datacenter (default: all)")
	cmd.Flags().BoolVarP(&follow, "watch", "w", false, "print the services and then their changes until Ctrl-C")
	mode.Flag(cmd)
	return cmd
}

// watcher returns what follows services at the meshd of the global flags.
func (a *app) watcher() *watch.Watcher {
	return &watch.Watcher{
		Out: a.out, Format: &a.options.output, Retry: func(err error) { a.report(err) },
		Client: func() *apiclient.Client {
			if c := a.options.cluster; c.Context != "" {
				return apiclient.New(c.Dial)
			}
			return apiclient.New(adminclient.Dialer(a.options.socket))
		},
	}
}

func (a *app) watchCommand() *cobra.Command {
	cmd := a.watcher().Command()
	cmd.ValidArgsFunction = a.completeServices
	return cmd
}

func listServices(ctx context.Context, a *app, client controlpbconnect.OperatorClient, request *controlpb.ListServicesRequest) error {
	response, err := client.ListServices(ctx, connect.NewRequest(request))
	if err != nil {
		return err
	}
	view := views.NewServices(response.Msg)
	if err := a.print(view, a.table(views.ServicesTable(view.Services, view.Exports), "no services")); err != nil {
		return err
	}
	if request.GetMode() == controlpb.ReadMode_READ_MODE_STALE {
		a.hint("%s", views.Staleness(view.Freshness))
	}
	return nil
}

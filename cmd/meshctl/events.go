package main

import (
	"context"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
	"github.com/meshway/meshway/cmd/meshctl/internal/watch"
)

func newEventsCommand(a *app) *cobra.Command {
	request := new(controlpb.ListEventsRequest)
	var following bool
	cmd := &cobra.Command{
		Use:   "events",
		Short: "List the latest changes of the catalog and their authors",
		Long: `Lists the latest commands in the catalog: index, time, the gateway that is the
author, and what it changed. A gateway keeps the latest 256 of each datacenter,
however much others write, also of the last 64 that have left, and all of the
last 10000 entries of the log. A datacenter that writes much fills the list: use
--author for another one, or --limit 10000, with which the latest 256 of each
of up to 39 datacenters precede older ones. A gateway lacks what it got with a
copy of the catalog, if it joined later or was away for long: run this on
another gateway. Commands that were refused are not listed; the metric
meshway_catalog_refused_commands_total of the leader counts them.`,
		Example: `  meshctl events
  meshctl events --author west --limit 20
  meshctl events --watch -o json`,
		Args: command.NoArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if request.Limit == 0 || request.Limit > watch.MaxEvents {
				return &fault.Fault{Code: fault.ExitUsage, Message: "the limit must be between 1 and 10000", Field: "--limit"}
			}
			list := func() (*controlpb.ListEventsResponse, error) { return a.events(cmd, request) }
			show := func(response *controlpb.ListEventsResponse) error {
				view := views.NewEvents(response)
				return a.print(view, a.table(views.EventsTable(view.Events), "no events on this gateway"))
			}
			if following {
				return watch.Events(cmd.Context(), request, list, show, func(err error) { a.report(err) })
			}
			response, err := list()
			if err != nil {
				return err
			}
			return show(response)
		},
	}
	cmd.Flags().StringVar(&request.Author, "author", "", "only changes by this gateway or datacenter")
	cmd.Flags().Uint32Var(&request.Limit, "limit", 100, "only the latest")
	cmd.Flags().BoolVarP(&following, "watch", "w", false, "print new changes until Ctrl-C")
	return cmd
}

func (a *app) events(cmd *cobra.Command, request *controlpb.ListEventsRequest) (*controlpb.ListEventsResponse, error) {
	var answer *controlpb.ListEventsResponse
	err := a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
		response, err := client.ListEvents(ctx, connect.NewRequest(request))
		if err != nil {
			return err
		}
		answer = response.Msg
		return nil
	})
	return answer, err
}

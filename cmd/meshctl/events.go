package main

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
)

// eventsInterval is the time between two queries with --watch.
const eventsInterval = time.Second

func newEventsCommand(a *app) *cobra.Command {
	request := new(controlpb.ListEventsRequest)
	var watch bool
	cmd := &cobra.Command{
		Use:   "events",
		Short: "List the latest changes of the catalog and their authors",
		Long: `Lists the latest commands in the log of the catalog: index, time, the gateway
that is the author, and what it changed. The log of this gateway is the history:
it goes back 10000 entries or more, and begins again after a restore. Commands
that were refused are not in it; the metric
meshway_catalog_refused_commands_total of the leader counts them.`,
		Example: `  meshctl events
  meshctl events --author west --limit 20
  meshctl events --watch -o json`,
		Args: command.NoArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if request.Limit == 0 || request.Limit > maxEvents {
				return &fault.Fault{Code: fault.ExitUsage, Message: "the limit must be between 1 and 10000", Field: "--limit"}
			}
			if watch {
				return watchEvents(cmd, a, request)
			}
			view, err := a.events(cmd, request)
			if err != nil {
				return err
			}
			return a.print(view, a.table(views.EventsTable(view.Events), "no events in the log of this gateway"))
		},
	}
	cmd.Flags().StringVar(&request.Author, "author", "", "only changes by this gateway or datacenter")
	cmd.Flags().Uint32Var(&request.Limit, "limit", 100, "only the latest")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "print new changes until Ctrl-C")
	return cmd
}

// maxEvents is how many events meshd returns at once.
const maxEvents = 10_000

func (a *app) events(cmd *cobra.Command, request *controlpb.ListEventsRequest) (views.Events, error) {
	var view views.Events
	err := a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
		response, err := client.ListEvents(ctx, connect.NewRequest(request))
		if err != nil {
			return err
		}
		view = views.NewEvents(response.Msg)
		return nil
	})
	return view, err
}

// watchEvents prints the latest events and then new ones until Ctrl-C. It continues
// after errors, since meshd may be restarting.
func watchEvents(cmd *cobra.Command, a *app, request *controlpb.ListEventsRequest) error {
	ticker := time.NewTicker(eventsInterval)
	defer ticker.Stop()
	for {
		view, err := a.events(cmd, request)
		if cmd.Context().Err() != nil {
			return nil
		}
		a.report(err)
		if n := len(view.Events); n > 0 {
			if err := a.print(view, a.table(views.EventsTable(view.Events), "")); err != nil {
				return err
			}
			request.After = view.Events[n-1].Index
			request.Limit = maxEvents // of those that follow, none is left out
		}
		select {
		case <-cmd.Context().Done():
			return nil
		case <-ticker.C:
		}
	}
}

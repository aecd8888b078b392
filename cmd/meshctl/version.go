package main

import (
	"context"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/build"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
)

func newVersionCommand(a *app) *cobra.Command {
	var clientOnly bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of meshctl and meshd",
		Example: `  meshctl version
  meshctl version --client -o json`,
		Args: command.NoArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			view := views.Version{Client: build.Current()}
			if clientOnly {
				return a.print(view, view.Fprint)
			}
			err := a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				response, err := client.Version(ctx, connect.NewRequest(&controlpb.VersionRequest{}))
				if err != nil {
					return err
				}
				view.Server = &build.Info{
					Version:         response.Msg.GetVersion(),
					Commit:          response.Msg.GetCommit(),
					Go:              response.Msg.GetGo(),
					FeatureLevel:    response.Msg.GetFeatureLevel(),
					ControlProtocol: response.Msg.GetControlProtocol(),
				}
				return nil
			})
			// Print the client's version even if meshd cannot be reached.
			if printErr := a.print(view, view.Fprint); printErr != nil {
				return printErr
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&clientOnly, "client", false, "print only the version of meshctl")
	return cmd
}

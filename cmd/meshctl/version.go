package main

import (
	"context"
	"fmt"
	"io"

	"connectrpc.com/connect"
	"github.com/meshway/meshway/agent/build"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
	"github.com/spf13/cobra"
)

func newVersionCommand(a *app) *cobra.Command {
	var clientOnly bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of meshctl and meshd",
		Example: `  meshctl version
  meshctl version --client -o json`,
		Args: noArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			view := versionView{Client: clientBuild()}
			if clientOnly {
				return a.print(view, view.fprint)
			}
			err := a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				response, err := client.Version(ctx, connect.NewRequest(&controlpb.VersionRequest{}))
				if err != nil {
					return err
				}
				view.Server = &buildView{
					Version: response.Msg.GetVersion(),
					Commit:  response.Msg.GetCommit(),
					Go:      response.Msg.GetGo(),
				}
				return nil
			})
			// Print the client's version even if meshd cannot be reached.
			if printErr := a.print(view, view.fprint); printErr != nil {
				return printErr
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&clientOnly, "client", false, "print only the version of meshctl")
	return cmd
}

func (v versionView) fprint(w io.Writer) error {
	fmt.Fprintln(w, "meshctl "+v.Client.String())
	if v.Server != nil {
		fmt.Fprintln(w, "meshd   "+human.Clean(v.Server.String()))
	}
	return nil
}

func (b buildView) String() string {
	if b.Commit == "" {
		return fmt.Sprintf("%s (%s)", b.Version, b.Go)
	}
	return fmt.Sprintf("%s (commit %s, %s)", b.Version, b.Commit, b.Go)
}

func clientBuild() buildView {
	info := build.Current()
	return buildView{
		Version: info.Version,
		Commit:  info.Commit,
		Go:      info.Go,
	}
}

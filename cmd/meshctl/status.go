package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/output"
	"github.com/meshway/meshway/cmd/meshctl/internal/render"
)

func newStatusCommand(a *app) *cobra.Command {
	var watch bool
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show membership, leader, reachability and problems",
		Long: `Shows whether this gateway is in a federation, the leader of the catalog, which
datacenters are reachable according to probes in the tunnels and the last
authenticated packet, and problems with their remedies.

The exit code is 3 if there is a problem of severity error, 0 otherwise.`,
		Example: `  meshctl status
  meshctl status --watch
  meshctl status -o wide
  meshctl status -o json | jq '.problems'`,
		Args: command.NoArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if watch {
				return watchStatus(cmd, a, interval)
			}
			return a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				return showStatus(ctx, a, client)
			})
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "refresh the output until Ctrl-C")
	cmd.Flags().DurationVar(&interval, "interval", 2*time.Second, "time between two refreshes with --watch")
	return cmd
}

func showStatus(ctx context.Context, a *app, client controlpbconnect.OperatorClient) error {
	snapshot, document, err := fetchStatus(ctx, client)
	if err != nil {
		return err
	}
	if err := printStatus(a, snapshot, document); err != nil {
		return err
	}
	if render.Failing(snapshot) {
		return errProblems
	}
	return nil
}

func fetchStatus(ctx context.Context, client controlpbconnect.OperatorClient) (status.Snapshot, []byte, error) {
	var snapshot status.Snapshot
	response, err := client.Status(ctx, connect.NewRequest(&controlpb.StatusRequest{}))
	if err != nil {
		return snapshot, nil, err
	}
	document := response.Msg.GetSnapshotJson()
	if err := json.Unmarshal(document, &snapshot); err != nil {
		return snapshot, nil, fmt.Errorf("decode status of meshd: %w", err)
	}
	return snapshot, document, nil
}

// printStatus prints structured output from the document of meshd itself, so that
// fields of a newer meshd are not lost.
func printStatus(a *app, snapshot status.Snapshot, document []byte) error {
	if a.structured() {
		return a.printJSON(document)
	}
	var screen bytes.Buffer
	view := render.Status{
		Snapshot: snapshot,
		Width:    a.width(),
		Wide:     a.options.output == output.Wide,
		Paint:    a.paint(a.out),
	}
	if err := view.Fprint(&screen); err != nil {
		return err
	}
	_, err := a.out.Write(screen.Bytes())
	return err
}

// watchStatus refreshes the output until Ctrl-C. It continues after errors, since
// meshd may be restarting.
func watchStatus(cmd *cobra.Command, a *app, interval time.Duration) error {
	if interval <= 0 {
		return &fault.Fault{
			Code:    fault.ExitUsage,
			Message: "the interval must be positive",
			Field:   "--interval",
		}
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if _, live := output.Terminal(a.out); live && !a.structured() {
			fmt.Fprint(a.out, "\x1b[H\x1b[2J\x1b[3J")
		}
		err := a.call(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
			return showStatus(ctx, a, client)
		})
		if cmd.Context().Err() != nil {
			return nil
		}
		a.report(err)
		if a.structured() && a.options.output == output.YAML {
			fmt.Fprintln(a.out, "---")
		} else if !a.structured() {
			fmt.Fprintln(a.out)
		}
		select {
		case <-cmd.Context().Done():
			return nil
		case <-ticker.C:
		}
	}
}

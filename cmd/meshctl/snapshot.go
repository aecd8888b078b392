package main

import (
	"context"
	"fmt"
	"io"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
	"github.com/meshway/meshway/cmd/meshctl/internal/output"
	"github.com/meshway/meshway/cmd/meshctl/internal/render"
	"github.com/meshway/meshway/cmd/meshctl/internal/snapshotfile"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
	"github.com/meshway/meshway/consensus/archive"
)

func newSnapshotCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Save, restore and inspect catalog snapshots",
		Example: `  meshctl snapshot save backup.snap
  meshctl snapshot inspect backup.snap
  meshctl snapshot restore backup.snap`,
	}
	cmd.AddCommand(newSaveCommand(a), newRestoreCommand(a), newInspectCommand(a))
	return command.Parent(cmd)
}

func newSaveCommand(a *app) *cobra.Command {
	mode := command.ReadConsistent
	cmd := &cobra.Command{
		Use:   "save FILE|-",
		Short: "Save the catalog to a file",
		Long: `Saves the whole catalog to a file of mode 0600, which is written completely or
not at all; - writes to stdout. A snapshot contains hashes of tokens, and no
private keys.`,
		Example: `  meshctl snapshot save backup.snap
  meshctl snapshot save - | age -r KEY > backup.age
  meshctl snapshot save --read stale last-copy.snap    # without a leader`,
		Args: command.Positional(1, 1, "the name of a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, live := output.Terminal(a.out); live && args[0] == "-" {
				return fault.Usagef("a snapshot is binary: redirect stdout or name a file")
			}
			return a.callLong(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
				return saveSnapshot(ctx, a, client, args[0], mode.Proto())
			})
		},
	}
	mode.Flag(cmd)
	return cmd
}

func saveSnapshot(ctx context.Context, a *app, client controlpbconnect.OperatorClient, file string, mode controlpb.ReadMode) error {
	response, err := client.SaveSnapshot(ctx, connect.NewRequest(&controlpb.SaveSnapshotRequest{Mode: mode}))
	if err != nil {
		return err
	}
	archive := response.Msg.GetArchive()
	if file == "-" {
		_, err := a.out.Write(archive)
		return err
	}
	if err := snapshotfile.Write(file, archive); err != nil {
		return fmt.Errorf("save snapshot: %w", err)
	}
	view := views.Saved{
		File:  file,
		Index: response.Msg.GetIndex(),
		Bytes: len(archive),
	}
	return a.print(view, line("catalog at index %d saved to %s, %s", view.Index, file, human.Bytes(uint64(len(archive)))))
}

func newRestoreCommand(a *app) *cobra.Command {
	var r restoration
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Replace the catalog with a saved snapshot",
		Long: `Replaces the catalog of all datacenters with a saved snapshot. Writes after the
snapshot are lost; datacenters that joined after it have to join again. Run it
on the gateway that leads the catalog, which ` + "`meshctl raft list-peers`" + ` shows.

It prints what changes before it requires a confirmation. A snapshot in which a
present datacenter has another CA is refused: that datacenter could no longer
connect. So is one that no gateway of the federation has signed, unless
--accept-unsigned is given: anyone can have changed it.`,
		Example: `  meshctl snapshot restore backup.snap --dry-run
  meshctl snapshot restore backup.snap
  meshctl snapshot restore backup.snap --yes
  meshctl snapshot restore old.snap --accept-unsigned`,
		Args: command.Positional(1, 1, "the name of a file"),
		RunE: func(cmd *cobra.Command, args []string) error { return restoreSnapshot(cmd, a, args[0], r) },
	}
	cmd.Flags().BoolVar(&r.yes, "yes", false, "skip the confirmation")
	cmd.Flags().BoolVar(&r.dryRun, "dry-run", false, "only print the changes")
	cmd.Flags().BoolVar(&r.acceptUnsigned, "accept-unsigned", false, "accept a snapshot whose origin cannot be verified")
	return cmd
}

// restoration are the flags of snapshot restore.
type restoration struct{ yes, dryRun, acceptUnsigned bool }

func restoreSnapshot(cmd *cobra.Command, a *app, file string, r restoration) error {
	archive, err := snapshotfile.Read(file)
	if err != nil {
		return err
	}
	info, err := snapshotfile.Inspect(file, archive)
	if err != nil {
		return err
	}
	action := fmt.Sprintf("replacing the catalog of all datacenters with %s (index %d, saved %s)",
		file, info.Index, human.Ago(a.now(), info.SavedAt))
	if _, interactive := output.Terminal(a.in); !interactive && !r.yes && !r.dryRun {
		return a.confirm(cmd.Context(), r.yes, action) // refuses
	}
	if err := a.planRestore(cmd, archive, r); err != nil || r.dryRun {
		return err
	}
	if err := a.confirm(cmd.Context(), r.yes, action); err != nil {
		return err
	}
	return a.callLong(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
		response, err := client.Restore(ctx, connect.NewRequest(&controlpb.RestoreRequest{Archive: archive, AcceptUnsigned: r.acceptUnsigned}))
		if err != nil {
			return err
		}
		view := views.Restored{Index: response.Msg.GetIndex()}
		return a.print(view, line("catalog restored at index %d", view.Index))
	})
}

// planRestore prints what a restore would change: on stdout if that is all that is to
// be done.
func (a *app) planRestore(cmd *cobra.Command, archive []byte, r restoration) error {
	return a.callLong(cmd, func(ctx context.Context, client controlpbconnect.OperatorClient) error {
		response, err := client.PlanRestore(ctx, connect.NewRequest(&controlpb.PlanRestoreRequest{Archive: archive, AcceptUnsigned: r.acceptUnsigned}))
		if err != nil {
			return err
		}
		plan := views.NewRestorePlan(response.Msg)
		if r.dryRun {
			return a.print(plan, plan.Table)
		}
		return plan.Table(a.err)
	})
}

func newInspectCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "inspect FILE",
		Short:   "Verify a snapshot file and show its contents",
		Long:    `Verifies a snapshot file and shows its contents. It works without meshd.`,
		Example: `  meshctl snapshot inspect backup.snap`,
		Args:    command.Positional(1, 1, "the name of a file"),
		RunE: func(_ *cobra.Command, args []string) error {
			content, err := snapshotfile.Read(args[0])
			if err != nil {
				return err
			}
			info, err := snapshotfile.Inspect(args[0], content)
			if err != nil {
				return err
			}
			return printInfo(a, info)
		},
	}
}

// printInfo prints the description of a snapshot; the structured form is
// archive.Info.
func printInfo(a *app, info archive.Info) error {
	return a.print(info, func(w io.Writer) error { return render.Archive(w, a.paint(w), info, a.now()) })
}

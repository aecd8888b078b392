package main

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
)

// recoverFlags holds the flags of recover.
type recoverFlags struct {
	dataDir, meshd string
	peers          []string
	yes, dryRun    bool
}

func newRecoverCommand(a *app) *cobra.Command {
	var r recoverFlags
	cmd := &cobra.Command{
		Use:   "recover [--peer ID]…",
		Short: "Recover the catalog after its quorum is permanently lost",
		Long: `Recovers the catalog when most voters are permanently lost and no leader can be
elected. The catalog of the surviving gateways becomes authoritative, with the
given gateways as its only voters; writes that only lost voters had are lost.
The former state is kept in a backup. Try it with --dry-run first.

With --context, the agents on all gateways of that cluster recover the catalog
while they run; without --peer, these gateways become the voters. It is refused
while there is a leader, or a voter in another datacenter answers that is not
named. If gateways of several datacenters survive, name all of them with --peer
and run the command for each cluster at the same time.

Without --context, stop meshd on all surviving gateways, run this command on
each of them with the same peers, then start meshd again. The command runs
` + "`meshd recover`" + ` on this host.`,
		Example: `  meshctl --context west raft recover --dry-run
  meshctl --context west raft recover
  systemctl stop meshd
  meshctl raft recover --peer east/gw1 --peer west/gw1
  systemctl start meshd && meshctl raft list-peers`,
		Args: command.NoArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.options.cluster.Context != "" {
				return recoverCluster(cmd, a, r)
			}
			return recoverCatalog(cmd, a, r)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&r.dataDir, "data-dir", "/var/lib/meshway", "data directory of meshd on this host")
	flags.StringArrayVar(&r.peers, "peer", nil, "id of a gateway that becomes a voter (repeatable)")
	flags.BoolVar(&r.yes, "yes", false, "skip the confirmation")
	flags.BoolVar(&r.dryRun, "dry-run", false, "print what would be done, and change nothing")
	flags.StringVar(&r.meshd, "meshd", "meshd", "path of the meshd program on this host")
	return cmd
}

func recoverCatalog(cmd *cobra.Command, a *app, r recoverFlags) error {
	switch {
	case r.dataDir == "":
		return &fault.Fault{
			Code:    fault.ExitUsage,
			Message: "the data directory is missing",
			Field:   "--data-dir",
			Remedy:  "give the data directory of meshd on this host, such as /var/lib/meshway",
			Usage:   cmd.UseLine(),
		}
	case len(r.peers) == 0:
		return &fault.Fault{
			Code:    fault.ExitUsage,
			Message: "the future voters are missing",
			Field:   "--peer",
			Remedy:  "give the ids of this gateway, such as east/gw1, and of each other surviving gateway",
			Usage:   cmd.UseLine(),
		}
	}
	args := []string{"recover", "--data-dir", r.dataDir}
	for _, peer := range r.peers {
		args = append(args, "--peer", peer)
	}
	if r.dryRun {
		args = append(args, "--dry-run")
		if a.options.output.Structured() { // JSON is YAML
			args = append(args, "--output", "json")
		}
	}
	fmt.Fprintf(a.err, "The catalog in %s becomes authoritative, with the voters %s;\nwrites that only lost voters had are lost. This runs: %s %s\n",
		human.Clean(r.dataDir), human.Clean(strings.Join(r.peers, ", ")), human.Clean(r.meshd), human.Clean(strings.Join(args, " ")))
	if !r.dryRun {
		if err := a.confirm(cmd.Context(), r.yes, "recovering the catalog from "+r.dataDir); err != nil {
			return err
		}
	}
	if err := runMeshd(cmd, a, r.meshd, args); err != nil || r.dryRun {
		return err // of a dry run, meshd has printed the result
	}
	a.hint("next: when all surviving gateways are recovered, start meshd on them, then run `meshctl raft list-peers`")
	return a.print(views.Done{Done: true}, line("catalog recovered"))
}

// runMeshd runs meshd on this host.
func runMeshd(cmd *cobra.Command, a *app, meshd string, args []string) error {
	err := a.execute(cmd.Context(), a, meshd, args...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return &fault.Fault{
			Code:    fault.ExitFailure,
			Message: fmt.Sprintf("meshd recover failed with exit code %d", exit.ExitCode()),
			Remedy:  "read its error message above; meshctl changed nothing",
		}
	case errors.Is(err, exec.ErrNotFound):
		return &fault.Fault{
			Code:    fault.ExitFailure,
			Message: "run meshd: " + err.Error(),
			Field:   "--meshd",
			Remedy:  "give the path of meshd with --meshd",
		}
	case err != nil:
		return fmt.Errorf("run meshd recover: %w", err)
	}
	return nil
}

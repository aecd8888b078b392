package main

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/meshway/meshway/cmd/meshctl/internal/human"
	"github.com/spf13/cobra"
)

// recovery is what the flags of recover say.
type recovery struct {
	dataDir, meshd string
	peers          []string
	yes            bool
}

func newRecoverCommand(a *app) *cobra.Command {
	var r recovery
	cmd := &cobra.Command{
		Use:   "recover --peer ID [--peer ID]…",
		Short: "Bring the catalog back when its quorum is lost for good",
		Long: `For when most voters are gone for good, so that no leader can ever be elected.
The copy of the catalog on the gateways that remain becomes the truth, with the
given gateways as its only voters; writes that only lost voters had are lost.

Stop meshd on all gateways that remain, run this on each of them with the same
peers, start them again. It runs ` + "`meshd recover`" + ` on this host, which keeps a copy
of what was there before.`,
		Example: `  systemctl stop meshd
  meshctl raft recover --peer east/gw1 --peer west/gw1
  systemctl start meshd && meshctl raft list-peers`,
		Args: noArguments(),
		RunE: func(cmd *cobra.Command, _ []string) error { return recoverCatalog(cmd, a, r) },
	}
	flags := cmd.Flags()
	flags.StringVar(&r.dataDir, "data-dir", "/var/lib/meshway", "data directory of meshd on this host")
	flags.StringArrayVar(&r.peers, "peer", nil, "gateway id that votes from now on (repeatable)")
	flags.BoolVar(&r.yes, "yes", false, "do not ask")
	flags.StringVar(&r.meshd, "meshd", "meshd", "the meshd program")
	return cmd
}

func recoverCatalog(cmd *cobra.Command, a *app, r recovery) error {
	switch {
	case r.dataDir == "":
		return &fault{code: exitUsage, message: "which data directory?", field: "--data-dir", remedy: "give that of meshd on this host, such as /var/lib/meshway", usage: cmd.UseLine()}
	case len(r.peers) == 0:
		return &fault{code: exitUsage, message: "who votes from now on?", field: "--peer", remedy: "give the id of this gateway, such as east/gw1, and of each other survivor", usage: cmd.UseLine()}
	}
	args := []string{"recover", "--data-dir", r.dataDir}
	for _, peer := range r.peers {
		args = append(args, "--peer", peer)
	}
	fmt.Fprintf(a.err, "the copy of the catalog in %s becomes the truth, with the voters %s;\nwrites that only lost voters had are lost. This will run: %s %s\n",
		human.Clean(r.dataDir), human.Clean(strings.Join(r.peers, ", ")), human.Clean(r.meshd), human.Clean(strings.Join(args, " ")))
	if err := a.confirm(cmd.Context(), r.yes, "recovering the catalog from "+r.dataDir); err != nil {
		return err
	}
	err := a.execute(cmd.Context(), a, r.meshd, args...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return &fault{code: exitFailure, message: fmt.Sprintf("meshd recover ended with exit code %d", exit.ExitCode()), remedy: "it said above why; nothing else was done"}
	case errors.Is(err, exec.ErrNotFound):
		return &fault{code: exitFailure, message: "run meshd: " + err.Error(), field: "--meshd", remedy: "give the path of meshd with --meshd"}
	case err != nil:
		return fmt.Errorf("run meshd recover: %w", err)
	}
	a.hint("next: when all that remain are recovered, start meshd on them, then `meshctl raft list-peers`")
	return a.print(doneView{Done: true}, line("catalog recovered"))
}

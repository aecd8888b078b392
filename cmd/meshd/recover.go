package main

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/raftnode"
)

func recoverCommand() *cobra.Command {
	var dataDir, output string
	var peers []string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "recover --peer DATACENTER/GATEWAY ...",
		Short: "Replace the voters of the catalog offline after a permanent loss",
		Long: `recover replaces the voters in the catalog of this gateway. Use it only if a
majority of the voters is permanently lost. Stop meshd on all gateways that
remain, run recover on each of them with the same peers, and start them again.
The former state is copied to a directory beside it.

With --dry-run it states what this gateway would keep, and changes nothing. The
gateway with the highest index has the newest catalog.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return usageError{fmt.Errorf("--output %q is not text or json; see %s --help", output, cmd.CommandPath())}
			}
			store, unlock, err := openLocked(dataDir)
			if err != nil {
				return err
			}
			defer unlock()
			membership, member, err := store.Membership()
			if err != nil {
				return err
			}
			if !member {
				return errors.New("this gateway is in no federation: there is no catalog to recover")
			}
			var voters []catalog.GatewayID
			for _, p := range peers {
				voters = append(voters, catalog.GatewayID(p))
			}
			recovery := raftnode.Recovery{
				Dir: store.RaftDir(), ID: catalog.NewGatewayID(membership.Datacenter, membership.Gateway),
				Voters: voters, Now: time.Now(),
				Log: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn})),
			}
			return runRecovery(cmd, recovery, dryRun, output == "json")
		},
	}
	cmd.Flags().StringVar(&dataDir, "data-dir", "/var/lib/meshway", "`directory` of the catalog (dataDir)")
	cmd.Flags().StringArrayVar(&peers, "peer", nil, "id of a `gateway` that becomes a voter; may be repeated")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "state what would be kept and lost, and change nothing")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json, of --dry-run")
	_ = cmd.MarkFlagRequired("peer")
	return cmd
}

func runRecovery(cmd *cobra.Command, recovery raftnode.Recovery, dryRun, asJSON bool) error {
	if dryRun {
		found, err := raftnode.Inspect(recovery)
		if err != nil {
			return err
		}
		return newProspect(found, recovery.Voters).print(cmd.OutOrStdout(), found.Former, asJSON)
	}
	backup, err := raftnode.Recover(recovery)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "the voters of the catalog are now %v; the former state is in %s\nstart meshd again after recover has run on all gateways that remain\n", recovery.Voters, backup)
	return err
}

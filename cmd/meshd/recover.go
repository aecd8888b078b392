package main

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/raftnode"
)

func recoverCommand() *cobra.Command {
	var dataDir string
	var peers []string
	cmd := &cobra.Command{
		Use:   "recover --peer DATACENTER/GATEWAY ...",
		Short: "Replace the voters of the catalog offline after a permanent loss",
		Long: `recover replaces the voters in the catalog of this gateway. Use it only if a
majority of the voters is permanently lost. Stop meshd on all gateways that
remain, run recover on each of them with the same peers, and start them again.
The former state is copied to a directory beside it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := identity.Open(dataDir)
			if err != nil {
				return err
			}
			defer store.Close()
			unlock, err := lock(dataDir)
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
			backup, err := raftnode.Recover(raftnode.Recovery{
				Dir: store.RaftDir(), ID: catalog.NewGatewayID(membership.Datacenter, membership.Gateway),
				Voters: voters, Now: time.Now(),
				Log: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn})),
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "the voters of the catalog are now %v; the former state is in %s\nstart meshd again after recover has run on all gateways that remain\n", peers, backup)
			return err
		},
	}
	cmd.Flags().StringVar(&dataDir, "data-dir", "/var/lib/meshway", "`directory` of the catalog (dataDir)")
	cmd.Flags().StringArrayVar(&peers, "peer", nil, "id of a `gateway` that becomes a voter; may be repeated")
	_ = cmd.MarkFlagRequired("peer")
	return cmd
}

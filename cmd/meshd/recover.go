package main

import (
	"errors"
	"fmt"
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
		Short: "give the catalog new voters, offline, when its quorum is lost for good",
		Long: `recover rewrites who votes in the catalog of this gateway. Use it only when a
majority of the voters will never come back. Stop meshd on all gateways that
remain, run recover on each of them with the same peers, and start them again. What
was there before is copied beside it.`,
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
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "the catalog's voters are now %v; what was there before is in %s\nstart meshd again when all gateways that remain are recovered\n", peers, backup)
			return err
		},
	}
	cmd.Flags().StringVar(&dataDir, "data-dir", "/var/lib/meshway", "`directory` of the catalog (dataDir)")
	cmd.Flags().StringArrayVar(&peers, "peer", nil, "`gateway` id that votes from now on; repeat it")
	_ = cmd.MarkFlagRequired("peer")
	return cmd
}

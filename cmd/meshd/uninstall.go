package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/identity"
)

func uninstallCommand() *cobra.Command {
	var flags configFlags
	var force, keep, purge, cluster bool
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Remove everything that Meshway created on this host",
		Long: `uninstall removes Meshway's interfaces, routes, rules, nexthops, sysctls and
firewall table from this host, and nothing else. The agent must be stopped.

It refuses while the gateway is in a federation: run meshctl leave first, which
removes the gateway from the catalog. --force uninstalls regardless.
--keep-membership does, too, and the next meshd run continues in the federation.
--purge also deletes the data directory with the keys of the datacenter.

With --cluster it is the pre-delete hook of the Helm chart: it waits until all
agents of the cluster have left the federation and cleaned up their nodes, and
deletes the API objects that they created.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cluster {
				return uninstallCluster(cmd.Context(), cmd.OutOrStdout())
			}
			return uninstallHost(cmd, flags, uninstallOptions{force: force, keep: keep, purge: purge})
		},
	}
	flags.register(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "uninstall even if this gateway is in a federation")
	cmd.Flags().BoolVar(&keep, "keep-membership", false, "uninstall even if this gateway is in a federation, and stay in it")
	cmd.Flags().BoolVar(&cluster, "cluster", false, "uninstall the whole cluster of this pod instead")
	cmd.Flags().BoolVar(&purge, "purge", false, "also delete the data directory with the keys")
	cmd.MarkFlagsMutuallyExclusive("keep-membership", "force")
	cmd.MarkFlagsMutuallyExclusive("keep-membership", "purge")
	return cmd
}

type uninstallOptions struct{ force, keep, purge bool }

func uninstallHost(cmd *cobra.Command, flags configFlags, options uninstallOptions) error {
	if os.Geteuid() != 0 {
		return errors.New("meshd uninstall needs root: it removes interfaces, routes and firewall rules")
	}
	cfg, err := flags.load(new(hostName))
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	store, unlock, err := openLocked(cfg.DataDir)
	if err != nil {
		return err
	}
	defer unlock()
	if !options.keep {
		if err := dropMembership(store, options.force); err != nil {
			return err
		}
	}
	kernel, err := dataplaneToRemove(cmd.Context(), cfg, log)
	if err != nil {
		return err
	}
	if err := dataplane.CleanUp(cmd.Context(), kernel, cfg.Routing.Table); err != nil {
		return err
	}
	return finish(cmd.OutOrStdout(), cfg.DataDir, options.purge)
}

func dropMembership(store *identity.Store, force bool) error {
	membership, member, err := store.Membership()
	if err != nil || !member {
		return err
	}
	if !force {
		return fmt.Errorf("this gateway is still in federation %s: run meshctl leave first (with meshd running), or use --force",
			membership.FederationName)
	}
	return store.ClearMembership()
}

func finish(w io.Writer, dataDir string, purge bool) error {
	if purge {
		if err := os.RemoveAll(dataDir); err != nil {
			return fmt.Errorf("delete data directory: %w", err)
		}
		_, err := fmt.Fprintf(w, "removed Meshway from this host, and %s\n", dataDir)
		return err
	}
	_, err := fmt.Fprintf(w, "removed Meshway from this host; the keys are still in %s (--purge deletes them)\n", dataDir)
	return err
}

package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"
)

func guardCommand() *cobra.Command {
	var flags configFlags
	cmd := &cobra.Command{
		Use:   "guard",
		Short: "Drop packets to other datacenters until meshd runs",
		Long: `guard restores the firewall that meshd last applied on this host, if the host
has none, and exits. Packets to the prefixes of other datacenters are then
dropped until meshd run has its tunnels; without it, those that are sent between
the start of the network and that of meshd leave unencrypted. A host that has
left its federation is guarded, too, until meshctl leave --release; one that was
in none stays as it is.

The unit meshway-guard.service runs it at boot, before the network.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return errors.New("meshd guard needs root: it writes firewall rules")
			}
			cfg, err := flags.load(new(hostName))
			if err != nil {
				return err
			}
			return lastFirewall(cfg.DataDir).Restore(cmd.Context())
		},
	}
	flags.register(cmd)
	return cmd
}

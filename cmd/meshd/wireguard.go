package main

import (
	"log/slog"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/tunnel/userspace"
)

// wireguardCommand runs the userspace data plane in a separate process, which the
// agent starts, so that a restart of the agent does not interrupt traffic.
func wireguardCommand() *cobra.Command {
	var options userspace.Options
	var level string
	cmd := &cobra.Command{
		Use:   "wireguard --interface NAME",
		Short: "Run the userspace data plane of one interface (started by run)",
		Long: `wireguard runs wireguard-go on a TUN interface, for kernels without WireGuard.
meshd run starts one such process for each tunnel interface and configures it
through its control socket. It outlives the agent: stopping or upgrading the
agent loses no packet. SIGTERM and meshctl leave end it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(cmd.ErrOrStderr(), config.Log{Level: level})
			if err != nil {
				return err
			}
			options.Log = log
			signal.Ignore(syscall.SIGHUP)
			return userspace.Run(cmd.Context(), options)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&options.Interface, "interface", "", "`name` of the TUN interface")
	flags.IntVar(&options.MTU, "mtu", 0, "MTU in `bytes` (default 1420)")
	flags.StringVar(&level, "log-level", slog.LevelInfo.String(), "debug, info, warn or error")
	_ = cmd.MarkFlagRequired("interface")
	return cmd
}

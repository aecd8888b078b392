package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/tunnel/userspace"
)

// lanesCommand runs the userspace data plane of a node on which the agent runs
// in a container.
func lanesCommand() *cobra.Command {
	var supervisor userspace.Supervisor
	var level string
	cmd := &cobra.Command{
		Use:   "lanes --dir DIRECTORY",
		Short: "Run the userspace data plane of a node, for another container",
		Long: `lanes runs one "meshd wireguard" for each interface that the agent requests
in a directory that both share (MESHWAY_LANES of the agent). It runs in a
container of its own, so that a restart or upgrade of the agent loses no packet.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(cmd.ErrOrStderr(), config.Log{Level: level})
			if err != nil {
				return err
			}
			supervisor.Log = log
			return supervisor.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&supervisor.Dir, "dir", "", "`directory` of the requests")
	cmd.Flags().StringVar(&level, "log-level", slog.LevelInfo.String(), "debug, info, warn or error")
	_ = cmd.MarkFlagRequired("dir")
	return cmd
}

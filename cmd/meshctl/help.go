package main

import "github.com/spf13/cobra"

// newExitCodesTopic is `meshctl help exit-codes`.
func newExitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long: `Exit codes of meshctl, for scripts:

    0  done; for status: all is well
    1  failed for another reason; stderr says which
    2  wrong usage: an unknown command or flag, a missing or malformed argument
    3  status: there are problems of severity error
    4  refused: the federation says no; stderr names the field and the remedy
    5  meshd cannot be reached at its socket
    6  no leader, or no answer in time: a later try may succeed
  130  interrupted (Ctrl-C)`,
	}
}

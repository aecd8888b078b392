package command

import "github.com/spf13/cobra"

// ExitCodes returns the help topic `meshctl help exit-codes`.
func ExitCodes() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "Explain the exit codes",
		Long:  "Exit codes of meshctl, for scripts:\n\n" + ExitStatus,
	}
}

// ExitStatus lists the exit codes of meshctl.
const ExitStatus = `    0  success; for status: no problem of severity error
    1  failure for another reason, which stderr states
    2  wrong usage: an unknown command or flag, a missing or malformed argument
    3  status: at least one problem of severity error
    4  refused by the federation; stderr names the field and the remedy
    5  meshd cannot be reached at its socket
    6  no leader, no answer in time, or meshd is still starting: retrying
       may succeed
  130  interrupted (Ctrl-C)`

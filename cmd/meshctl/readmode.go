package main

import (
	"strings"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/spf13/cobra"
)

// readMode is a value of --read. It implements pflag.Value.
type readMode string

// The read modes: stale is the local copy, lease the leader's as long as its
// lease holds, consistent takes a round of the voters (linearizable).
const (
	readStale      readMode = "stale"
	readLease      readMode = "lease"
	readConsistent readMode = "consistent"
)

func readModes() []string {
	return []string{string(readStale), string(readLease), string(readConsistent)}
}

func (m *readMode) String() string     { return string(*m) }
func (m *readMode) Type() string       { return strings.Join(readModes(), "|") }
func (m *readMode) Set(s string) error { return setOneOf((*string)(m), s, readModes()) }

func (m *readMode) proto() controlpb.ReadMode {
	switch *m {
	case readStale:
		return controlpb.ReadMode_READ_MODE_STALE
	case readConsistent:
		return controlpb.ReadMode_READ_MODE_CONSISTENT
	default:
		return controlpb.ReadMode_READ_MODE_LEASE
	}
}

func (m *readMode) flag(cmd *cobra.Command) {
	cmd.Flags().Var(m, "read", "how current the answer must be: stale answers without a leader, consistent asks the voters")
	// The flag was made in the line above: the error cannot happen.
	_ = cmd.RegisterFlagCompletionFunc("read", cobra.FixedCompletions(readModes(), cobra.ShellCompDirectiveNoFileComp))
}

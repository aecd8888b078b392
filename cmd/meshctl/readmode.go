package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/control/controlpb"
)

// readMode is a value of --read, with the names of the protocol's enum in lower
// case: stale reads the local copy, lease that of a leader whose lease holds,
// consistent takes a round trip to a majority of the voters (linearizable). It
// implements pflag.Value.
type readMode controlpb.ReadMode

const (
	readStale      = readMode(controlpb.ReadMode_READ_MODE_STALE)
	readLease      = readMode(controlpb.ReadMode_READ_MODE_LEASE)
	readConsistent = readMode(controlpb.ReadMode_READ_MODE_CONSISTENT)
)

// readModes lists the names of the modes, the least strict first.
func readModes() []string {
	return []string{readStale.name(), readLease.name(), readConsistent.name()}
}

func (m readMode) name() string {
	return strings.ToLower(strings.TrimPrefix(m.proto().String(), "READ_MODE_"))
}

func (m readMode) proto() controlpb.ReadMode { return controlpb.ReadMode(m) }

func (m *readMode) String() string { return m.name() }
func (m *readMode) Type() string   { return strings.Join(readModes(), "|") }

func (m *readMode) Set(s string) error {
	for _, mode := range []readMode{readStale, readLease, readConsistent} {
		if s == mode.name() {
			*m = mode
			return nil
		}
	}
	return fmt.Errorf("must be one of %s", strings.Join(readModes(), ", "))
}

// flag adds --read to a command.
func (m *readMode) flag(cmd *cobra.Command) {
	cmd.Flags().Var(m, "read", "consistency of the read: stale needs no leader, consistent a majority of the voters")
	// The flag exists since the line above: the error cannot occur.
	_ = cmd.RegisterFlagCompletionFunc("read", cobra.FixedCompletions(readModes(), cobra.ShellCompDirectiveNoFileComp))
}

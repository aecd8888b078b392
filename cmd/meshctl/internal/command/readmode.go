package command

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/control/controlpb"
)

// ReadMode is a value of --read, with the names of the protocol's enum in lower
// case: stale reads the local copy, lease that of a leader whose lease holds,
// consistent takes a round trip to a majority of the voters (linearizable). It
// implements pflag.Value.
type ReadMode controlpb.ReadMode

// The modes, the least strict first.
const (
	ReadStale      = ReadMode(controlpb.ReadMode_READ_MODE_STALE)
	ReadLease      = ReadMode(controlpb.ReadMode_READ_MODE_LEASE)
	ReadConsistent = ReadMode(controlpb.ReadMode_READ_MODE_CONSISTENT)
)

// readModes lists the names of the modes, the least strict first.
func readModes() []string {
	return []string{ReadStale.name(), ReadLease.name(), ReadConsistent.name()}
}

func (m ReadMode) name() string {
	return strings.ToLower(strings.TrimPrefix(m.Proto().String(), "READ_MODE_"))
}

// Proto returns the value of the protocol.
func (m ReadMode) Proto() controlpb.ReadMode { return controlpb.ReadMode(m) }

// String implements pflag.Value.
func (m *ReadMode) String() string { return m.name() }

// Type implements pflag.Value.
func (m *ReadMode) Type() string { return strings.Join(readModes(), "|") }

// Set implements pflag.Value.
func (m *ReadMode) Set(s string) error {
	for _, mode := range []ReadMode{ReadStale, ReadLease, ReadConsistent} {
		if s == mode.name() {
			*m = mode
			return nil
		}
	}
	return fmt.Errorf("must be one of %s", strings.Join(readModes(), ", "))
}

// Flag adds --read to a command.
func (m *ReadMode) Flag(cmd *cobra.Command) {
	cmd.Flags().Var(m, "read", "consistency of the read: stale needs no leader, consistent a majority of the voters")
	// The flag exists since the line above: the error cannot occur.
	_ = cmd.RegisterFlagCompletionFunc("read", cobra.FixedCompletions(readModes(), cobra.ShellCompDirectiveNoFileComp))
}

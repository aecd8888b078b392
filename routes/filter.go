package routes

import (
	"context"

	"github.com/meshway/meshway/routes/ruleset"
)

// Filter is the firewall of a host: the nft binary, or a fake.
type Filter interface {
	// Apply replaces Meshway's table by fw atomically. It writes nothing if the
	// table is intact and equal.
	Apply(ctx context.Context, fw Firewall) error
	// State reports whether Meshway's table exists, and is as Apply last wrote it.
	State(ctx context.Context) (TableState, error)
	// Remove deletes Meshway's table. A missing table is no error.
	Remove(ctx context.Context) error
	// Counters returns how many packets the table has dropped, one counter for
	// each reason; none if there is no table.
	Counters(ctx context.Context) ([]Counter, error)
	// Others returns the rules of other programs that may drop packets. It is cheap
	// while no program changes its rules.
	Others(ctx context.Context) (ruleset.Ruleset, error)
}

// The names of the table's counters.
const (
	// CounterTunnel counts packets from a tunnel whose source is not routed to
	// its lane.
	CounterTunnel = "spoofed-in-tunnel"
	// CounterUnderlay counts packets from outside the tunnels whose source is in
	// another datacenter.
	CounterUnderlay = "spoofed-on-underlay"
	// CounterUnencrypted counts packets to another datacenter that would have
	// left this host outside of the tunnels.
	CounterUnencrypted = "unencrypted"
	// CounterUnannounced counts packets from a tunnel to what this datacenter does
	// not announce.
	CounterUnannounced = "unannounced"
)

// Counters returns the names of all counters.
func Counters() []string {
	return []string{CounterTunnel, CounterUnderlay, CounterUnencrypted, CounterUnannounced}
}

// Counter is one of the table's named counters.
type Counter struct {
	Name           string
	Packets, Bytes uint64
}

// TableState is the state of the firewall's table.
type TableState int

// The states of the table.
const (
	TableAbsent TableState = iota
	TableOther             // written by an earlier process, or changed by another program
	TableIntact            // as this process last wrote it
)

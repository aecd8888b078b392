package routes

import "context"

// Filter is the firewall of a host: the nft binary, or a fake.
type Filter interface {
	// Apply replaces Meshway's table by fw atomically. It writes nothing if the
	// table is intact and equal.
	Apply(ctx context.Context, fw Firewall) error
	// State reports whether Meshway's table exists, and is as Apply last wrote it.
	State(ctx context.Context) (TableState, error)
	// Remove deletes Meshway's table. A missing table is no error.
	Remove(ctx context.Context) error
}

// TableState is the state of the firewall's table.
type TableState int

// The states of the table.
const (
	TableAbsent TableState = iota
	TableOther             // written by an earlier process, or changed by another program
	TableIntact            // as this process last wrote it
)

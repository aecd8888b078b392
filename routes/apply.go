package routes

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
)

// Kernel is where routing state lives: netlink and /proc/sys, or a fake.
type Kernel interface {
	// Observe reads what of ours exists, and what of others stands between it.
	Observe(ctx context.Context, table int) (Observed, error)
	// Sysctls reads the settings, sorted by key; those that do not exist are left out.
	Sysctls(ctx context.Context, keys []string) ([]Sysctl, error)
	// Apply carries a change out in the order that Change documents. It does
	// not stop at an error: errors are joined, and name the entry.
	// Deleting what does not exist is no error.
	Apply(ctx context.Context, change Change) error
	// Lookup asks the kernel which way a packet of this host to the address
	// goes. No route: errors.Is(err, ErrNoRoute).
	Lookup(ctx context.Context, addr netip.Addr) (Lookup, error)
	// Watch calls wake after everything that may have changed what is ours by
	// another hand, until ctx ends (then it returns nil) or the kernel cannot
	// be listened to. It wakes once when it has begun to listen. It may wake
	// without a reason; wake must not block.
	Watch(ctx context.Context, wake func()) error
}

// Filter is where the firewall lives: the nft binary, or a fake.
type Filter interface {
	// Apply makes our table what fw says, all at once. When it is that
	// already, nothing is written.
	Apply(ctx context.Context, fw Firewall) error
	// State tells whether our table is there, and as Apply wrote it last.
	State(ctx context.Context) (TableState, error)
	// Remove deletes our table; a missing one is no error.
	Remove(ctx context.Context) error
}

// TableState is how the firewall's table is found.
type TableState int

// The states of the table.
const (
	TableAbsent TableState = iota
	TableOther             // of an earlier process, or altered by another hand
	TableIntact            // as this process wrote it last
)

// ErrNoRoute is what Lookup returns for an address that no route covers.
var ErrNoRoute = errors.New("no route")

// Lookup is the kernel's answer for one address.
type Lookup struct {
	Table     int          // 0: not known
	Prefix    netip.Prefix // of the route that matched; zero: not known
	Device    string       // empty for a blackhole
	Via       netip.Addr   // the router that the packet is handed to; zero: the destination itself
	Source    netip.Addr   // the source that a socket of this host would get
	Nexthop   uint32       // id of the nexthop object; 0: the route has none
	Blackhole bool         // the packet would be dropped
}

// Apply makes the kernel's state what want says, and returns what it then is,
// also after a failure. Without prune nothing is deleted. When nothing differs,
// nothing is written.
func Apply(ctx context.Context, k Kernel, want Config, prune bool) (Observed, error) {
	return (&Applier{Kernel: k}).Apply(ctx, want, prune)
}

// Remove deletes everything of ours, and puts recorded sysctls back that still
// have our value. It returns what is left.
func Remove(ctx context.Context, k Kernel, table int) (Observed, error) {
	have, err := k.Observe(ctx, table)
	if err != nil {
		return Observed{}, fmt.Errorf("observe routes: %w", err)
	}
	change := Diff(Config{Table: table}, have, true)
	change.Restore = true
	applied := k.Apply(ctx, change)
	after, err := k.Observe(ctx, table)
	if err != nil {
		return have, errors.Join(applied, fmt.Errorf("observe routes: %w", err))
	}
	return after, applied
}

// observe reads the state and those sysctls that are wanted.
func observe(ctx context.Context, k Kernel, want Config) (Observed, error) {
	have, err := k.Observe(ctx, want.Table)
	if err != nil {
		return Observed{}, fmt.Errorf("observe routes: %w", err)
	}
	if len(want.Sysctls) == 0 {
		return have, nil
	}
	keys := make([]string, len(want.Sysctls))
	for i, s := range want.Sysctls {
		keys[i] = s.Key
	}
	have.Sysctls, err = k.Sysctls(ctx, keys)
	if err != nil {
		return Observed{}, fmt.Errorf("observe sysctls: %w", err)
	}
	return have, nil
}

package routes

import (
	"context"
	"errors"
	"net/netip"
)

// Kernel is the routing state of a host: netlink and /proc/sys, or a fake.
type Kernel interface {
	// Observe returns Meshway's entries, and the foreign entries in its table
	// and in its range of nexthop ids. Sysctls are not included.
	Observe(ctx context.Context, table int) (Observed, error)
	// Sysctls returns the settings that exist, sorted by key.
	Sysctls(ctx context.Context, keys []string) ([]Sysctl, error)
	// Apply applies a change in the order that Change documents. An error does
	// not stop it: the errors, which name their entries, are joined. Deleting
	// an entry that does not exist is no error. A call does not wait for the end
	// of another: it is for other entries.
	Apply(ctx context.Context, change Change) error
	// Lookup returns the route of a packet. The error is ErrNoRoute
	// (errors.Is) if there is no route.
	Lookup(ctx context.Context, q Query) (Lookup, error)
	// Watch calls wake after every change by another program that may concern
	// Meshway's entries, until ctx ends, when it returns nil, or until it cannot
	// receive events. It calls wake once when it has started to receive events,
	// and may call it without a change. wake must not block.
	Watch(ctx context.Context, wake func()) error
}

// ErrNoRoute is the error of Lookup for an address without a route.
var ErrNoRoute = errors.New("no route")

// Lookup is the kernel's routing decision for one address.
type Lookup struct {
	Table     int          // 0: unknown
	Prefix    netip.Prefix // of the route that matched; zero: unknown
	Device    string       // empty for a blackhole
	Via       netip.Addr   // the router that receives the packet; zero: the destination itself
	Source    netip.Addr   // the source address that the kernel selects for a socket of this host
	Nexthop   uint32       // id of the nexthop object; 0: the route has none
	Blackhole bool         // the packet is dropped
}

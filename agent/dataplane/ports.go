package dataplane

import (
	"context"
	"net/netip"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/requirement"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// Kernel is what the host forwards packets with.
type Kernel struct {
	Tunnels  tunnel.Device
	Routes   routes.Kernel
	Firewall routes.Filter
	// Withdrawn keeps the prefixes that are guarded although no datacenter announces
	// them; nil: only this process does.
	Withdrawn Store[[]plan.Withdrawn]
	// Earlier keeps the ranges that other programs led elsewhere before a datacenter
	// announced them; nil: only this process does.
	Earlier Store[plan.EarlierRecord]
	// Left keeps what is guarded after a leave; nil: nothing is.
	Left Store[plan.Left]
	// Requirements are what the three use of the host.
	Requirements []requirement.Requirement
}

// Store keeps a value over restarts (state.File).
type Store[T any] interface {
	Load() (T, bool, error)
	Save(value T) error
	Remove() error
}

// Catalog is the part of the replicated catalog that the loop of a gateway uses.
type Catalog interface {
	// View returns the newest local state; after a start without quorum, the
	// state that was saved last.
	View() *replica.View
	// TopologyChanged returns a channel that is closed at the next change of the
	// federation, its datacenters and gateways, or their observations in View.
	TopologyChanged() <-chan struct{}
	// Read returns a view that is as current as mode requires.
	Read(ctx context.Context, mode consensus.ReadMode) (*replica.View, consensus.Freshness, error)
	// Tune adapts the timers of consensus to the round trips to other gateways, which
	// have none until they were measured.
	Tune(roundTrips map[catalog.GatewayID]time.Duration)
}

// Trust decides which records of the catalog are used.
type Trust interface {
	// Verify returns the catalog with those records that were verified, and the
	// problems of the others.
	Verify(have plan.Catalog, now time.Time) (plan.Catalog, []plan.Problem)
	// Changed returns a channel that is closed at the next change of what Verify
	// returns for the same catalog.
	Changed() <-chan struct{}
	// Save stores what Verify has seen so far.
	Save() error
}

// Prober keeps a session with each of a set of gateways.
type Prober interface {
	// Run probes until ctx ends.
	Run(ctx context.Context) error
	// Set replaces the set of sessions.
	Set(sessions []plan.SessionConfig)
	// Sessions returns the state of all sessions.
	Sessions() []plan.Session
	// Changed returns a channel that is closed at the next change of the state of
	// a session.
	Changed() <-chan struct{}
}

// Liveness has the ports of a Prober that runs inside the tunnels (BFD, RFC 5880) and
// counts any authenticated packet from a peer as a sign of life. All are of one object.
type Liveness struct {
	Prober
	ReceivedCounters
	LocalSessions
}

// ReceivedCounters are the counters of the tunnels that show signs of life.
type ReceivedCounters interface {
	// Overdue receives while at least one session is past its expected packet;
	// call Activity with fresh counters then.
	Overdue() <-chan struct{}
	// Activity reports the number of bytes that each peer has sent so far.
	Activity(received map[tunnel.PublicKey]uint64)
}

// LocalSessions are this gateway's side of all sessions.
type LocalSessions interface {
	// Check returns why the packets of sessions cannot be received at an address of
	// this host, or nil.
	Check(ctx context.Context, local netip.Addr) error
	// Drain makes all peers stop or resume sending through this gateway. It is
	// idempotent.
	Drain(on bool)
}

// PathMTU finds the largest packets that reach each remote gateway through its
// tunnel.
type PathMTU interface {
	// Run probes until ctx ends.
	Run(ctx context.Context) error
	// Set replaces the gateways to probe, and the MTU of the tunnels' interfaces.
	Set(sessions []plan.SessionConfig, mtu int)
	// Found returns the size for each gateway for which it is known, bytes.
	Found() map[catalog.GatewayID]int
	// Changed returns a channel that is closed at the next change of Found.
	Changed() <-chan struct{}
}

// Site describes what this datacenter owns, from the configuration or from its
// cluster.
type Site interface {
	// Current returns the newest description; right after a start, the one that
	// was saved last.
	Current() plan.Site
	// Changed returns a channel that is closed at the next change of Current.
	Changed() <-chan struct{}
}

// Inventory describes the federation to a node, which takes no part in the
// catalog.
type Inventory interface {
	// Current returns the newest description; false: it is not complete yet.
	Current() (plan.Inventory, bool)
	// Changed returns a channel that is closed at the next change of Current.
	Changed() <-chan struct{}
}

// Host reads this host's addresses and links.
type Host interface {
	// Observe returns the current addresses, links and routes.
	Observe(ctx context.Context) (plan.Host, error)
	// LinkMTU returns the smallest MTU of the links through which packets of the
	// tunnels leave to the given addresses, bytes; 0: it is not known.
	LinkMTU(ctx context.Context, to []netip.Addr) int
	// Resolve returns the addresses of a host name. An address resolves to itself.
	Resolve(ctx context.Context, host string) ([]netip.Addr, error)
}

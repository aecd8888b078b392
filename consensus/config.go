package consensus

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Network carries raft's streams between gateways. Both ends of a stream have
// proven to be members before Accept or Dial returns it.
type Network interface {
	// Accept waits for the next stream that another member opened.
	Accept() (net.Conn, error)
	// Close ends Accept with an error.
	Close() error
	Addr() net.Addr
	// Dial opens a stream to the gateway id at address, an overlay ip:port or
	// the host:port of a control port. It must prove that id answers there.
	Dial(ctx context.Context, id catalog.GatewayID, address string) (net.Conn, error)
}

// Remote calls other members. An error that matches ErrNotLeader or ErrRejected
// is the other's definite no; after any other one the call may have had effect.
type Remote interface {
	// Apply runs Node.ApplyForwarded on the gateway to.
	Apply(ctx context.Context, to catalog.GatewayID, cmds []*catalogpb.Command) ([]catalog.Result, error)
	// ReadIndex runs Node.ReadIndex on the gateway to.
	ReadIndex(ctx context.Context, to catalog.GatewayID, lease bool) (uint64, error)
	// LeaderOperation runs Node.LeaderOperation on the gateway to.
	LeaderOperation(ctx context.Context, to catalog.GatewayID, op LeaderOperation) error
}

// Config is what a Node needs. ID, Dir, Network and Remote are required.
type Config struct {
	ID         catalog.GatewayID
	Federation string // id; when set, a directory of another federation is refused
	Dir        string // holds raft.db, snapshots/ and identity.json; made when missing
	Timers     Timers // zero: LAN
	// SnapshotThreshold is how many entries there may be since the last snapshot
	// before the next is made; zero: 16384.
	SnapshotThreshold uint64
	// ProposeTimeout bounds how long a call looks for a leader; zero: 10 s.
	ProposeTimeout time.Duration
	Network        Network
	Remote         Remote
	// Addresses gives where a gateway may be reached, best first: the overlay
	// address, then the control endpoints that it advertises. It is called
	// often and from many goroutines.
	Addresses func(catalog.GatewayID) []string
	Log       *slog.Logger // nil: silent
}

const (
	defaultSnapshotThreshold = 16384
	defaultProposeTimeout    = 10 * time.Second
)

func (c Config) withDefaults() Config {
	if c.Timers == (Timers{}) {
		c.Timers = LAN()
	}
	if c.SnapshotThreshold == 0 {
		c.SnapshotThreshold = defaultSnapshotThreshold
	}
	if c.ProposeTimeout == 0 {
		c.ProposeTimeout = defaultProposeTimeout
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Addresses == nil {
		c.Addresses = func(catalog.GatewayID) []string { return nil }
	}
	return c
}

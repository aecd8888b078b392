package raftnode

import (
	"log/slog"
	"time"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

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
	Network        consensus.Network
	Remote         consensus.Remote
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

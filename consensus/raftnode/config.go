package raftnode

import (
	"errors"
	"log/slog"
	"time"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/archive"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/quota"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/raftnode/internal/disk"
	"github.com/meshway/meshway/consensus/raftnode/internal/transport"
)

// Config configures a Node. ID, Dir, Network and Remote are required.
type Config struct {
	ID         catalog.GatewayID
	Federation string   // id; if set, Open refuses the directory of another federation
	Dir        string   // holds log/, raft.db, snapshots/, identity.json and events.json; created if missing
	LogStore   LogStore // Open converts a log that is elsewhere; empty: as it is, and WAL in a new directory
	Timers     Timers   // zero: LAN
	// SnapshotThreshold is the number of log entries after which raft takes the
	// next snapshot; zero: 16384. At most twice as many are kept before a snapshot.
	SnapshotThreshold uint64
	// ProposeTimeout bounds each call that needs the leader; zero: 10 s.
	ProposeTimeout time.Duration
	Network        consensus.Network
	Remote         consensus.Remote
	// Addresses returns the addresses at which a gateway may be reached, best
	// first: its overlay address, then the control endpoints that it advertises.
	// It is called often and concurrently.
	Addresses func(catalog.GatewayID) []string
	Host      Host // zero: this host
	// Verify returns why a snapshot that another member sends must not replace the
	// local copy; nil: all may.
	Verify func(local, sent *replica.View) error
	// SignArchive signs the archives that this member saves; nil: they are not signed.
	SignArchive archive.Signer
	Limits      quota.Limits // of each datacenter, which this member applies as leader; zero: the default
	Log         *slog.Logger // nil: silent
}

// LogStore is where the entries of the log are.
type LogStore = disk.Kind

// Host is what a node uses of its host, so that tests can inject faults.
type Host = disk.Host

// The stores of the log.
const (
	WAL  = disk.WAL
	Bolt = disk.Bolt
)

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
	if c.Limits == (quota.Limits{}) {
		c.Limits = quota.DefaultLimits()
	}
	c.Host = c.Host.WithClock(transport.NewClock())
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Verify == nil {
		c.Verify = func(_, _ *replica.View) error { return nil }
	}
	if c.Addresses == nil {
		c.Addresses = func(catalog.GatewayID) []string { return nil }
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.ID == "":
		return errors.New("raftnode: ID is empty: set the gateway id")
	case c.Dir == "":
		return errors.New("raftnode: Dir is empty: set the data directory")
	case c.Network == nil:
		return errors.New("raftnode: Network is nil")
	case c.Remote == nil:
		return errors.New("raftnode: Remote is nil")
	}
	return c.Timers.validate()
}

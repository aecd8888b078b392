package raftnode

import (
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// Timers are the timeouts and intervals of raft. All members should have the
// same: a follower with a shorter heartbeat timeout than its leader expects
// starts unnecessary elections.
type Timers struct {
	Name             string        // for the status: lan, wan
	HeartbeatTimeout time.Duration // a follower without a message of the leader for this long becomes a candidate
	ElectionTimeout  time.Duration // a candidate waits this long for votes
	Lease            time.Duration // a leader without a quorum for this long steps down
	// HeartbeatInterval is the time between two messages of a leader to a
	// follower; raft makes it up to twice as long at random. Lease must cover it
	// and one TCP retransmission, which takes 200 ms and a round trip.
	HeartbeatInterval time.Duration
	// CommitInterval is how often the leader repeats the commit index to each
	// follower, even if idle, and how soon it retries after an error; raft makes
	// it up to twice as long at random. New commits do not wait for it, see
	// transport.Announcer.
	CommitInterval time.Duration
	// MaxAppendEntries bounds the entries of one replication message, and thereby
	// the entries that a follower receives in one round trip.
	MaxAppendEntries int
	RPCTimeout       time.Duration // of one raft call; a snapshot gets more, by its size
	SnapshotInterval time.Duration
	TrailingLogs     uint64 // entries that are kept before a snapshot, for followers that lag
}

// LAN returns the timers for a round trip of up to about 20 ms between any two
// members.
func LAN() Timers {
	return Timers{
		Name:              "lan",
		HeartbeatTimeout:  time.Second,
		ElectionTimeout:   time.Second,
		Lease:             700 * time.Millisecond,
		HeartbeatInterval: 200 * time.Millisecond,
		CommitInterval:    500 * time.Millisecond,
		MaxAppendEntries:  64,
		RPCTimeout:        5 * time.Second,
		SnapshotInterval:  30 * time.Second,
		TrailingLogs:      10240,
	}
}

// WAN returns the timers for a round trip of up to about 300 ms. After the loss
// of the leader, writes wait for up to 20 s.
func WAN() Timers {
	return Timers{
		Name:              "wan",
		HeartbeatTimeout:  5 * time.Second,
		ElectionTimeout:   5 * time.Second,
		Lease:             2500 * time.Millisecond,
		HeartbeatInterval: 500 * time.Millisecond,
		CommitInterval:    time.Second,
		MaxAppendEntries:  512,
		RPCTimeout:        10 * time.Second,
		SnapshotInterval:  120 * time.Second,
		TrailingLogs:      32768,
	}
}

// stabilization is how long a member must have been healthy before it may vote.
func (t Timers) stabilization() time.Duration { return 3 * t.ElectionTimeout }

// contactThreshold is how long after its last answer a member becomes unhealthy.
func (t Timers) contactThreshold() time.Duration { return 2 * t.HeartbeatTimeout }

// callTimeout bounds one call to the leader: a call to a leader that has
// vanished ends when its successor is elected.
func (t Timers) callTimeout() time.Duration { return t.HeartbeatTimeout + t.ElectionTimeout }

func (t Timers) validate() error {
	cfg := raft.DefaultConfig()
	cfg.LocalID = "timers"
	t.applyTo(cfg)
	if err := raft.ValidateConfig(cfg); err != nil {
		return fmt.Errorf("timers %s: %w", t.Name, err)
	}
	if t.HeartbeatInterval <= 0 || t.Lease <= 2*t.HeartbeatInterval {
		return fmt.Errorf("timers %s: Lease (%s) must be more than twice HeartbeatInterval (%s), which must be positive",
			t.Name, t.Lease, t.HeartbeatInterval)
	}
	return nil
}

func (t Timers) applyTo(cfg *raft.Config) {
	cfg.HeartbeatTimeout = t.HeartbeatTimeout
	cfg.ElectionTimeout = t.ElectionTimeout
	cfg.LeaderLeaseTimeout = t.Lease
	cfg.CommitTimeout = t.CommitInterval
	cfg.MaxAppendEntries = t.MaxAppendEntries
	cfg.SnapshotInterval = t.SnapshotInterval
	cfg.TrailingLogs = t.TrailingLogs
}

// setHeartbeats sets raft's heartbeat timeout for a leader or for a follower.
// Raft has one value for both: a follower waits for that long, and a leader
// sends ten times as often, which would be most of the work of an idle member.
func (i *instance) setHeartbeats(leads bool) error {
	cfg := i.raft.ReloadableConfig()
	cfg.HeartbeatTimeout, cfg.ElectionTimeout = i.timers.HeartbeatTimeout, i.timers.ElectionTimeout
	if leads {
		cfg.HeartbeatTimeout = 10 * i.timers.HeartbeatInterval
		cfg.ElectionTimeout = max(cfg.ElectionTimeout, cfg.HeartbeatTimeout) // raft refuses a lower value
	}
	return i.raft.ReloadConfig(cfg)
}

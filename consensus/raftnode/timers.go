package raftnode

import (
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// Timers are raft's clocks. All members should have the same ones: a follower
// with shorter timers than its leader calls elections that nobody needs.
type Timers struct {
	Name      string        // for status: "lan", "wan"
	Heartbeat time.Duration // a follower that hears no leader for this long stands for election
	Election  time.Duration // a candidate waits this long for votes
	Lease     time.Duration // a leader without a quorum for this long steps down
	// Beat is how often a leader lets each follower hear of it; up to twice as much.
	// Lease has room for that and for one packet that TCP sends again, after 200 ms
	// and a round trip.
	Beat time.Duration
	// Commit is how often the leader repeats to each follower what is committed, also
	// when it is idle, and how soon it tries again to send what failed; up to twice
	// as much. News does not wait for it, see announce.
	Commit time.Duration
	// MaxAppendEntries bounds one replication message, and with that the entries
	// that a follower can get in one round trip.
	MaxAppendEntries int
	RPC              time.Duration // deadline of one raft call; a snapshot gets more by its size
	SnapshotInterval time.Duration
	TrailingLogs     uint64 // entries kept behind a snapshot, for followers that lag
}

// LAN is for a round trip of up to about 20 ms between any two members.
func LAN() Timers {
	return Timers{
		Name: "lan", Heartbeat: time.Second, Election: time.Second, Lease: 700 * time.Millisecond,
		Beat: 200 * time.Millisecond, Commit: 500 * time.Millisecond, MaxAppendEntries: 64, RPC: 5 * time.Second,
		SnapshotInterval: 30 * time.Second, TrailingLogs: 10240,
	}
}

// WAN is for a round trip of up to about 300 ms. Losing the leader costs up to
// 20 s without writes.
func WAN() Timers {
	return Timers{
		Name: "wan", Heartbeat: 5 * time.Second, Election: 5 * time.Second, Lease: 2500 * time.Millisecond,
		Beat: 500 * time.Millisecond, Commit: time.Second, MaxAppendEntries: 512, RPC: 10 * time.Second,
		SnapshotInterval: 120 * time.Second, TrailingLogs: 32768,
	}
}

// stabilization is how long a member must have been healthy before it may vote.
func (t Timers) stabilization() time.Duration { return 3 * t.Election }

// contactThreshold is after how long without an answer a member counts as unhealthy.
func (t Timers) contactThreshold() time.Duration { return 2 * t.Heartbeat }

// attempt bounds one forwarded call, so that a leader that vanished without a
// word is asked no longer than it takes to elect the next.
func (t Timers) attempt() time.Duration { return t.Heartbeat + t.Election }

func (t Timers) validate() error {
	conf := raft.DefaultConfig()
	conf.LocalID = "timers"
	t.applyTo(conf)
	if err := raft.ValidateConfig(conf); err != nil {
		return fmt.Errorf("timers %s: %w", t.Name, err)
	}
	if t.Beat <= 0 || t.Lease <= 2*t.Beat {
		return fmt.Errorf("timers %s: Lease (%s) must be more than twice Beat (%s), which must be positive", t.Name, t.Lease, t.Beat)
	}
	return nil
}

func (t Timers) applyTo(conf *raft.Config) {
	conf.HeartbeatTimeout = t.Heartbeat
	conf.ElectionTimeout = t.Election
	conf.LeaderLeaseTimeout = t.Lease
	conf.CommitTimeout = t.Commit
	conf.MaxAppendEntries = t.MaxAppendEntries
	conf.SnapshotInterval = t.SnapshotInterval
	conf.TrailingLogs = t.TrailingLogs
}

// pace gives raft the heartbeat timeout of a leader or that of a follower. Raft
// knows only one: a follower waits for so long, and a leader sends ten times as
// often, which is more than anybody needs and most of what an idle member does.
func (i *instance) pace(leads bool) error {
	conf := i.raft.ReloadableConfig()
	conf.HeartbeatTimeout, conf.ElectionTimeout = i.timers.Heartbeat, i.timers.Election
	if leads {
		conf.HeartbeatTimeout = 10 * i.timers.Beat
		conf.ElectionTimeout = max(conf.ElectionTimeout, conf.HeartbeatTimeout) // else it is refused
	}
	return i.raft.ReloadConfig(conf)
}

package raftnode

import (
	"time"

	"github.com/meshway/meshway/consensus/raftnode/internal/proposals"
)

// WriteRaw writes an entry to the log as a leader of another version could.
func (n *Node) WriteRaw(data []byte) error {
	_, err := resultsOf(n.instance.Load().raft.Apply(data, time.Second))
	return err
}

// LastLog returns the index of the last entry of the log.
func (n *Node) LastLog() uint64 { return n.instance.Load().raft.LastIndex() }

// HeartbeatTimeout returns the timeout that raft uses now.
func (n *Node) HeartbeatTimeout() time.Duration {
	return n.instance.Load().raft.ReloadableConfig().HeartbeatTimeout
}

// ConfirmByRaftAlone confirms leadership without counting voters.
func (n *Node) ConfirmByRaftAlone() error { return n.instance.Load().raft.VerifyLeader().Error() }

// StartedAt makes the commands of n those of a process that started at t.
func (n *Node) StartedAt(t time.Time) { n.writes.session = proposals.NewSession(n.cfg.ID, t) }

// FirstLog returns the index of the first entry of the log.
func (n *Node) FirstLog() uint64 { return n.store.FirstIndex() }

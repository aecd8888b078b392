package raftnode

import (
	"time"

	"github.com/hashicorp/raft"
)

// WriteRaw puts an entry into the log as a leader of another version might.
func (n *Node) WriteRaw(data []byte) error {
	_, err := outcomeOf(n.instance.Load().raft.Apply(data, time.Second))
	return err
}

// LastLog counts the log's entries.
func (n *Node) LastLog() uint64 { return n.instance.Load().raft.LastIndex() }

// HeartbeatTimeout is what raft goes by now.
func (n *Node) HeartbeatTimeout() time.Duration {
	return n.instance.Load().raft.ReloadableConfig().HeartbeatTimeout
}

// ConfirmByRaftAlone is what raft says of this member's leadership.
func (n *Node) ConfirmByRaftAlone() error { return n.instance.Load().raft.VerifyLeader().Error() }

// NewTestTransport makes a transport over streams.
func NewTestTransport(stream raft.StreamLayer) raft.Transport {
	return newTransport(stream, LAN(), newContacts(), newBridge(Config{}.withDefaults().Log))
}

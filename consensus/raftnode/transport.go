package raftnode

import (
	"maps"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// transport is raft's network transport with two changes.
//
// It has no heartbeat fast path: raft handles heartbeats that take it beside its
// main loop, and a leader that steps down that way can append entries of its old
// term after a partition heals, so that logs diverge (hashicorp/raft#695). The
// interface allows to ignore the handler; heartbeats then queue behind the
// disk, for which the timers leave room.
//
// It does not pipeline: when a follower answers no, raft's pipeline can wait for
// itself for ever, while heartbeats go on and hide that the follower gets nothing
// (hashicorp/raft#612). One message at a time carries up to MaxAppendEntries
// entries, each of which is a batch already.
//
// It notes what peers answer, which is how the leader knows who is healthy.
type transport struct {
	*raft.NetworkTransport
	contacts *contacts
}

var (
	_ raft.Transport   = (*transport)(nil)
	_ raft.WithPreVote = (*transport)(nil)
	_ raft.WithClose   = (*transport)(nil)
)

func newTransport(stream raft.StreamLayer, timers Timers, contacts *contacts, log hclog.Logger) *transport {
	return &transport{
		NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: stream, MaxPool: 3, Timeout: timers.RPC, Logger: log,
			MaxRPCsInFlight: 1, // no pipeline
		}),
		contacts: contacts,
	}
}

// SetHeartbeatHandler does nothing, on purpose: see transport.
func (t *transport) SetHeartbeatHandler(func(raft.RPC)) {}

// AppendEntries notes the answer: that of a heartbeat at least, many times in each
// heartbeat timeout.
func (t *transport) AppendEntries(id raft.ServerID, target raft.ServerAddress,
	args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse,
) error {
	round := t.contacts.round()
	err := t.NetworkTransport.AppendEntries(id, target, args, resp)
	if err == nil && resp.Success && resp.Term == args.Term {
		t.contacts.note(id, contact{term: resp.Term, lastIndex: resp.LastLog, round: round, at: time.Now()})
	}
	return err
}

// Close ends the streams too. NetworkTransport closes only its listener and
// would leave the goroutines of accepted connections to their peers.
func (t *transport) Close() error {
	err := t.NetworkTransport.Close()
	t.CloseStreams()
	return err
}

// contact is what a peer last said when it acknowledged us as leader.
type contact struct {
	term      uint64
	lastIndex uint64
	round     uint64 // the newest round that had begun when the message was sent
	at        time.Time
}

// contacts holds the last acknowledgement of each peer. Rounds order messages
// against reads without a clock: a message that carries round r was sent after
// nextRound returned r.
type contacts struct {
	mu      sync.Mutex // guards all following fields
	byPeer  map[raft.ServerID]contact
	current uint64
	changed chan struct{} // closed at the next note
}

func newContacts() *contacts {
	return &contacts{byPeer: make(map[raft.ServerID]contact), changed: make(chan struct{})}
}

func (c *contacts) round() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

func (c *contacts) nextRound() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current++
	return c.current
}

func (c *contacts) note(id raft.ServerID, n contact) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.byPeer[id]
	n.round = max(n.round, old.round)
	c.byPeer[id] = n
	close(c.changed)
	c.changed = make(chan struct{})
}

// snapshot returns all contacts and a channel that is closed at the next one.
func (c *contacts) snapshot() (map[raft.ServerID]contact, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.byPeer), c.changed
}

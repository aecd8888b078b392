package raftnode

import (
	"maps"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// contact is the last answer with which a peer acknowledged this member as the
// leader.
type contact struct {
	term      uint64
	lastIndex uint64
	round     uint64 // the newest round that had begun when the message was sent
	at        time.Time
}

// contacts holds the last contact of each peer. Rounds order messages and reads
// without a clock: a message with round r was sent after nextRound returned r.
type contacts struct {
	mu      sync.Mutex // guards all following fields
	byPeer  map[raft.ServerID]contact
	current uint64
	changed chan struct{} // closed by the next record
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

func (c *contacts) record(id raft.ServerID, n contact) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.byPeer[id]
	n.round = max(n.round, old.round)
	c.byPeer[id] = n
	close(c.changed)
	c.changed = make(chan struct{})
}

// all returns all contacts, and a channel that is closed at the next record.
func (c *contacts) all() (map[raft.ServerID]contact, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.byPeer), c.changed
}

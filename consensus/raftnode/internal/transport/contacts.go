package transport

import (
	"maps"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Contact is the last answer with which a peer acknowledged this member as the
// leader.
type Contact struct {
	Term      uint64
	LastIndex uint64
	Round     uint64 // the newest round that had begun when the message was sent
	At        time.Time
}

// Contacts holds the last contact of each peer. Rounds order messages and reads
// without a clock: a message with round r was sent after NextRound returned r.
type Contacts struct {
	mu      sync.Mutex // guards all following fields
	byPeer  map[raft.ServerID]Contact
	current uint64
	changed chan struct{} // closed by the next record
}

// NewContacts returns contacts without an answer.
func NewContacts() *Contacts {
	return &Contacts{byPeer: make(map[raft.ServerID]Contact), changed: make(chan struct{})}
}

func (c *Contacts) round() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

// NextRound begins a round.
func (c *Contacts) NextRound() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current++
	return c.current
}

func (c *Contacts) record(id raft.ServerID, n Contact) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.byPeer[id]
	n.Round = max(n.Round, old.Round)
	c.byPeer[id] = n
	close(c.changed)
	c.changed = make(chan struct{})
}

// All returns all contacts, and a channel that is closed at the next record.
func (c *Contacts) All() (map[raft.ServerID]Contact, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.byPeer), c.changed
}

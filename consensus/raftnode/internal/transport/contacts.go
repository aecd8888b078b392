package transport

import (
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus/catalog"
)

// Contact is the last answer with which a peer acknowledged this member as the
// leader.
type Contact struct {
	Term      uint64
	LastIndex uint64
	Committed uint64        // the newest commit index that was sent to it
	Round     uint64        // the newest round that had begun when the message was sent
	Sent      time.Duration // when the message was sent, on the clock of Contacts
	At        time.Time     // when the answer was received
}

// Contacts holds the last contact of each peer. Rounds order messages and reads
// without a clock: a message with round r was sent after NextRound returned r.
type Contacts struct {
	clock func() time.Duration

	mu      sync.Mutex // guards all following fields
	byPeer  map[raft.ServerID]Contact
	current uint64
	changed chan struct{} // closed by the next record
}

// NewContacts returns contacts without an answer. The clock never goes back.
func NewContacts(clock func() time.Duration) *Contacts {
	return &Contacts{clock: clock, byPeer: make(map[raft.ServerID]Contact), changed: make(chan struct{})}
}

// sending returns what a contact records of a message that is sent now.
func (c *Contacts) sending() Contact {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Contact{Round: c.current, Sent: c.clock()}
}

// Now returns the time on the clock of Contact.Sent.
func (c *Contacts) Now() time.Duration { return c.clock() }

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
	if n.Term == old.Term {
		n.Round, n.Sent, n.Committed = max(n.Round, old.Round), max(n.Sent, old.Sent), max(n.Committed, old.Committed)
	}
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

// QuorumContact returns the newest time such that a majority of the voters
// acknowledged term in messages that were sent then or later; negative: there is
// none. The member self acknowledges now.
func QuorumContact(servers []raft.Server, self catalog.GatewayID, contacts map[raft.ServerID]Contact,
	term uint64, now time.Duration,
) time.Duration {
	const never = math.MinInt64 / 2
	var sent []time.Duration
	for _, s := range servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		c, answered := contacts[s.ID]
		switch {
		case s.ID == raft.ServerID(self):
			sent = append(sent, now)
		case answered && c.Term == term:
			sent = append(sent, c.Sent)
		default:
			sent = append(sent, never)
		}
	}
	if len(sent) == 0 {
		return never
	}
	slices.Sort(sent)
	return sent[(len(sent)-1)/2]
}

// QuorumAnswered reports whether a majority of the voters acknowledged term in
// round or later. The member self counts as one that did.
func QuorumAnswered(servers []raft.Server, self catalog.GatewayID, contacts map[raft.ServerID]Contact, term, round uint64) bool {
	voters, answered := 0, 0
	for _, s := range servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		c := contacts[s.ID]
		if s.ID == raft.ServerID(self) || (c.Term == term && c.Round >= round) {
			answered++
		}
	}
	return answered > voters/2
}

package transport

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus/catalog"
)

// Announcer announces commits to the followers of a leader.
type Announcer struct {
	InFlight atomic.Int64 // entries handed to raft whose outcome is awaited

	id        catalog.GatewayID // of this member
	raft      *raft.Raft
	link      Link
	contacts  *Contacts
	last      func() (index, term uint64)
	committed chan struct{} // size 1: an entry has an outcome
}

// Link is the part of the transport that is used beside raft.
type Link interface {
	AppendEntries(raft.ServerID, raft.ServerAddress, *raft.AppendEntriesRequest, *raft.AppendEntriesResponse) error
	Close() error
}

// NewAnnouncer returns the announcer of one running raft. last returns the last command
// that was applied here.
func NewAnnouncer(id catalog.GatewayID, r *raft.Raft, link Link, contacts *Contacts, last func() (index, term uint64)) *Announcer {
	return &Announcer{id: id, raft: r, link: link, contacts: contacts, last: last, committed: make(chan struct{}, 1)}
}

// Run announces a commit to the followers when no write follows, until ctx ends. A
// message contains the commit index at the time it was sent, so that the followers
// have the last entry of a burst without learning of its commit. Raft repeats the
// commit index every CommitTimeout (raftnode.Timers.CommitInterval), even if idle; as
// the only announcement, that would have to be much shorter.
//
// The announcement is the message that raft itself would send next: the committed
// entry as the previous one, no entries, and the commit index. It is not written to
// the log.
func (a *Announcer) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	wake := make(map[raft.ServerID]chan struct{}) // size 1 each
	for {
		select {
		case <-a.committed:
		case <-ctx.Done():
			return
		}
		if a.InFlight.Load() > 0 || a.raft.State() != raft.Leader {
			continue // the message of the next entry announces it
		}
		for _, s := range a.raft.GetConfiguration().Configuration().Servers {
			if s.ID == raft.ServerID(a.id) {
				continue
			}
			woken := wake[s.ID]
			if woken == nil {
				woken = make(chan struct{}, 1)
				wake[s.ID] = woken
				running.Go(func() { a.announceTo(ctx, s.ID, woken) })
			}
			select {
			case woken <- struct{}{}:
			default:
			}
		}
	}
}

// announceTo announces to one follower what is committed at each wake-up.
func (a *Announcer) announceTo(ctx context.Context, to raft.ServerID, wake <-chan struct{}) {
	for {
		select {
		case <-wake:
		case <-ctx.Done():
			return
		}
		for more := true; more; {
			contacts, changed := a.contacts.All()
			message := a.announcement()
			c := contacts[to]
			if message == nil || (c.Term == message.Term && c.Committed >= message.LeaderCommitIndex) {
				break
			}
			if c.Term == message.Term && c.LastIndex >= message.PrevLogEntry {
				// If it fails, the follower learns of the commit after raftnode.Timers.CommitInterval.
				var answer raft.AppendEntriesResponse
				err := a.link.AppendEntries(to, raft.ServerAddress(to), message, &answer)
				more = err == nil && answer.Success
				continue
			}
			select { // for the follower to have the entry
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}

// announcement returns the message that announces the last command applied here, or
// nil if this member does not lead. A follower that has the entry of the command has
// all entries before it, so that it may apply them.
func (a *Announcer) announcement() *raft.AppendEntriesRequest {
	term := a.raft.CurrentTerm()
	index, entryTerm := a.last()
	if a.raft.State() != raft.Leader || a.raft.CurrentTerm() != term || entryTerm == 0 {
		return nil
	}
	self := []byte(a.id)
	return &raft.AppendEntriesRequest{
		RPCHeader:    raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: self, Addr: self},
		Term:         term,
		Leader:       self, //nolint:staticcheck // older raft reads it
		PrevLogEntry: index, PrevLogTerm: entryTerm, LeaderCommitIndex: index,
	}
}

// Committed makes Run announce what is committed now.
func (a *Announcer) Committed() {
	select {
	case a.committed <- struct{}{}:
	default:
	}
}

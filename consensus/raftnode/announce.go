package raftnode

import (
	"context"
	"sync"

	"github.com/hashicorp/raft"
)

// announceCommits announces a commit to the followers when no write follows. A
// message contains the commit index at the time it was sent, so that the followers
// have the last entry of a burst without learning of its commit. Raft repeats the
// commit index every Timers.CommitInterval, even if idle; as the only announcement,
// it would have to be much shorter.
//
// The announcement is the message that raft itself would send next: the committed
// entry as the previous one, no entries, and the commit index. It is not written to
// the log.
func (n *Node) announceCommits(ctx context.Context, inst *instance) {
	var running sync.WaitGroup
	defer running.Wait()
	wake := make(map[raft.ServerID]chan struct{}) // size 1 each
	for {
		select {
		case <-inst.committed:
		case <-ctx.Done():
			return
		}
		if inst.inFlight.Load() > 0 || inst.raft.State() != raft.Leader {
			continue // the message of the next entry announces it
		}
		for _, s := range inst.servers() {
			if s.ID == raft.ServerID(n.cfg.ID) {
				continue
			}
			woken := wake[s.ID]
			if woken == nil {
				woken = make(chan struct{}, 1)
				wake[s.ID] = woken
				running.Go(func() { n.announceTo(ctx, inst, s.ID, woken) })
			}
			select {
			case woken <- struct{}{}:
			default:
			}
		}
	}
}

// announceTo announces to one follower what is committed at each wake-up.
func (n *Node) announceTo(ctx context.Context, inst *instance, to raft.ServerID, wake <-chan struct{}) {
	for {
		select {
		case <-wake:
		case <-ctx.Done():
			return
		}
		for more := true; more; {
			contacts, changed := n.contacts.All()
			message := n.announcement(inst)
			c := contacts[to]
			if message == nil || (c.Term == message.Term && c.Committed >= message.LeaderCommitIndex) {
				break
			}
			if c.Term == message.Term && c.LastIndex >= message.PrevLogEntry {
				// If it fails, the follower learns of the commit after Timers.CommitInterval.
				var answer raft.AppendEntriesResponse
				err := inst.transport.AppendEntries(to, raft.ServerAddress(to), message, &answer)
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
func (n *Node) announcement(inst *instance) *raft.AppendEntriesRequest {
	term := inst.raft.CurrentTerm()
	index, entryTerm := n.fsm.Last()
	if inst.raft.State() != raft.Leader || inst.raft.CurrentTerm() != term || entryTerm == 0 {
		return nil
	}
	self := []byte(n.cfg.ID)
	return &raft.AppendEntriesRequest{
		RPCHeader:    raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: self, Addr: self},
		Term:         term,
		Leader:       self, //nolint:staticcheck // older raft reads it
		PrevLogEntry: index, PrevLogTerm: entryTerm, LeaderCommitIndex: index,
	}
}

// notifyCommitted makes announceCommits announce what is committed now.
func (i *instance) notifyCommitted() {
	select {
	case i.committed <- struct{}{}:
	default:
	}
}

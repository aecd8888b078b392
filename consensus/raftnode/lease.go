package raftnode

import (
	"math"
	"time"

	"github.com/meshway/meshway/consensus/raftnode/internal/transport"
)

// holdsLease reports whether no other member can have become the leader until now.
//
// A voter that acknowledged a message of this term votes for no other member for
// one heartbeat timeout, which begins when it receives the message and thus not
// before it was sent. The lease is shorter. Raft's own state is not enough: a
// process that was stopped, or a host that was suspended, finds itself the leader
// when it continues, until its timers have run.
func (l *leadership) holdsLease() bool {
	contacts, _ := l.node.contacts.All()
	now := l.node.contacts.Now()
	acknowledged := transport.QuorumContact(l.inst.servers(), l.node.cfg.ID, contacts, l.term, now)
	return now-acknowledged < l.inst.timers.Lease && int64(now) >= l.inst.noLease.Load()
}

// leaseOverdue returns the time since a quorum acknowledged the leader, and 0
// while that is within the lease or has not happened yet in its term.
func (n *Node) leaseOverdue(i *instance) time.Duration {
	contacts, _ := n.contacts.All()
	now := n.contacts.Now()
	acknowledged := transport.QuorumContact(i.servers(), n.cfg.ID, contacts, i.raft.CurrentTerm(), now)
	if acknowledged < 0 || now-acknowledged < i.timers.Lease {
		return 0
	}
	return now - acknowledged
}

// suspendLease ends the lease before leadership is transferred: the successor is
// elected at once, whatever the others have acknowledged. The lease may be used
// again some time after the returned function is called, when the successor, if
// the transfer failed, has had the time to request votes.
func (l *leadership) suspendLease() (resume func()) {
	l.inst.noLease.Store(math.MaxInt64)
	return func() {
		l.inst.noLease.Store(int64(l.node.contacts.Now() + l.inst.timers.HeartbeatTimeout + l.inst.timers.ElectionTimeout))
	}
}

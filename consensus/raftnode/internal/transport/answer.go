package transport

import (
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// beliefInterval is how often the answer of a member without a vote may have a later
	// term than this one.
	beliefInterval = 10 * time.Minute
	// maxLaterTerm is how much later that term may be.
	maxLaterTerm = 64
)

// believed holds when a member without a vote last answered a leader with a later term. The
// leader steps down at such an answer: a member that lost its vote after an election of its
// own has no leader until the others have its term. One that claims a later term in every
// answer would end every leadership, so that one of all members is believed, by one leader.
//
// The other leaders know it by the term: an election raises it by one, and after an answer
// with a later one it is later than that. So do several candidates at once, after which
// no answer is believed for the same time.
type believed struct {
	mu     sync.Mutex // guards all following fields
	at     time.Time
	leader uint64 // the latest term in which this member has led or followed
}

// led is called with the terms in which this member leads or follows.
func (b *believed) led(term uint64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.leader != 0 && term > b.leader+1 {
		b.at = now
	}
	b.leader = max(b.leader, term)
}

// again reports whether an answer was believed less than beliefInterval ago; otherwise one
// is believed now.
func (b *believed) again(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.at.IsZero() && now.Sub(b.at) < beliefInterval {
		return true
	}
	b.at = now
	return false
}

// checkAnswer refuses an answer from whose term raft must not conclude anything.
func (t *Transport) checkAnswer(id raft.ServerID, kind string, sent, got uint64) error {
	<-t.ready // raft calls others only after it has started
	from, k := catalog.GatewayID(id), t.inbound.knowledge()
	refusal := k.checkTerm(from, "the answer to "+kind, got)
	if refusal == nil && got > sent && !k.votes(from) {
		refusal = t.believe(from, kind, sent, got)
	}
	if refusal == nil {
		return nil
	}
	return t.refuse(from, refusal)
}

func (t *Transport) refuse(from catalog.GatewayID, refusal *Refusal) error {
	if refusal.Code != "" {
		t.inbound.cfg.Refused(from, refusal)
	}
	return refusal
}

// believe gives the later term of a member without a vote to raft, which would only end
// the leadership because of the answer: each election would bring it one term closer.
func (t *Transport) believe(from catalog.GatewayID, kind string, sent, got uint64) *Refusal {
	switch {
	case got-sent > maxLaterTerm:
		return refuse(consensus.CodeTermAhead, "gateway %s has no vote and answered %s with term %d, the leader has %d: no honest member is that far ahead",
			from, kind, got, sent)
	case t.inbound.believed.again(time.Now()):
		return refuse(consensus.CodeNotAVoter, "gateway %s has no vote and answered %s with the later term %d again", from, kind, got)
	}
	// Raft takes over the term, and gives no vote to a member that has none.
	request := &raft.RequestVoteRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(from), Addr: []byte(from)},
		Term:      got, LeadershipTransfer: true, // also while there is a leader
	}
	in := t.inbound
	in.running.Go(func() { // raft may be waiting for the caller
		select {
		case in.consumer <- raft.RPC{Command: request, RespChan: make(chan raft.RPCResponse, 1)}:
		case <-in.done:
		}
	})
	return nil
}

// checkHeartbeat refuses an answer with which a member without a vote does not confirm a
// heartbeat. An honest one does not confirm it if it has a later term, with which it answers
// the next message of the log too. Raft would not take over the term, but end the
// leadership if it is verifying it.
func (t *Transport) checkHeartbeat(id raft.ServerID, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	<-t.ready
	from := catalog.GatewayID(id)
	isHeartbeat := args.PrevLogEntry == 0 && len(args.Entries) == 0
	if !isHeartbeat || resp.Success || t.inbound.knowledge().votes(from) {
		return nil
	}
	code := consensus.CodeNotAVoter
	if resp.Term > args.Term {
		code = ""
	}
	return t.refuse(from, refuse(code, "gateway %s has no vote and did not confirm a heartbeat", from))
}

// RequestVote implements raft.Transport.
func (t *Transport) RequestVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	if err := t.NetworkTransport.RequestVote(id, target, args, resp); err != nil {
		return err
	}
	return t.checkAnswer(id, "RequestVote", args.Term, resp.Term)
}

// RequestPreVote implements raft.WithPreVote.
func (t *Transport) RequestPreVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if err := t.NetworkTransport.RequestPreVote(id, target, args, resp); err != nil {
		return err
	}
	return t.checkAnswer(id, "RequestPreVote", args.Term, resp.Term)
}

// InstallSnapshot implements raft.Transport.
func (t *Transport) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest,
	resp *raft.InstallSnapshotResponse, data io.Reader,
) error {
	if err := t.takeResent(id, nil, args.Size); err != nil {
		return err
	}
	if err := t.NetworkTransport.InstallSnapshot(id, target, args, resp, data); err != nil {
		return err
	}
	return t.checkAnswer(id, "InstallSnapshot", args.Term, resp.Term)
}

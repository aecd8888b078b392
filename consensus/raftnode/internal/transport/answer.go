package transport

import (
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// beliefInterval is how often an answer of the members without a vote of one datacenter
// may have a later term than this one.
const beliefInterval = 10 * time.Minute

// believed holds when a member without a vote of each datacenter last answered with a later
// term. A leader steps down at such an answer: a member that lost its vote after an election
// of its own is behind until the others have its term. One that claims a later term
// in every answer would end every leadership.
type believed struct {
	mu sync.Mutex // guards at
	at map[catalog.DatacenterName]time.Time
}

// again reports whether a gateway of the datacenter was believed less than beliefInterval
// ago; otherwise one is believed now.
func (b *believed) again(dc catalog.DatacenterName, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at, ok := b.at[dc]; ok && now.Sub(at) < beliefInterval {
		return true
	}
	if b.at == nil {
		b.at = make(map[catalog.DatacenterName]time.Time)
	}
	b.at[dc] = now
	return false
}

// checkAnswer refuses an answer from whose term raft must not conclude anything.
func (t *Transport) checkAnswer(id raft.ServerID, kind string, sent, got uint64) error {
	<-t.ready // raft calls others only after it has started
	from, k := catalog.GatewayID(id), t.inbound.knowledge()
	refusal := k.checkTerm(from, "the answer to "+kind, got)
	if refusal == nil && got > sent && !k.votes(from) && t.believed.again(from.Datacenter(), time.Now()) {
		refusal = refuse(consensus.CodeNotAVoter, "gateway %s has no vote and answered %s with the later term %d again", from, kind, got)
	}
	if refusal == nil {
		return nil
	}
	t.inbound.cfg.Refused(from, refusal)
	return refusal
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
	if err := t.NetworkTransport.InstallSnapshot(id, target, args, resp, data); err != nil {
		return err
	}
	return t.checkAnswer(id, "InstallSnapshot", args.Term, resp.Term)
}

package raftnode

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/raftnode/internal/quorum"
)

const (
	// inquiryInterval is the least time between two inquiries. Any member can cause
	// one, by a message that is refused.
	inquiryInterval = time.Second
	inquiryTimeout  = 3 * time.Second
	// trustedHeadStart is how long the other datacenters are not believed because one
	// of the gateways that are trusted may still answer. A leader that needs this
	// member waits for it no longer than its lease.
	trustedHeadStart = 200 * time.Millisecond
	// leftOutAfter is how long inquiries fail before this member assumes that most
	// datacenters in its catalog have left.
	leftOutAfter = time.Minute
)

// inquire finds out which gateways vote when a gateway that this member does not know
// as a voter sends what only voters send, until ctx ends. A member that was away, or has
// not received the last change before the leader's end, has an old configuration, and the
// voters of the present one could not send it the log: it would be left out, and with it
// perhaps the quorum. The leader that this member still has may be a former one.
func (n *Node) inquire(ctx context.Context, inst *instance) {
	var failing time.Time // since when
	for {
		select {
		case <-n.safeguards.senders.Ask:
		case <-ctx.Done():
			return
		}
		led := inst.leader() != ""
		later := n.electorate(ctx, n.newInquiry(inst, led), !failing.IsZero() && time.Since(failing) > leftOutAfter)
		switch {
		case led || len(later.Voters) > 0:
			failing = time.Time{}
		case failing.IsZero():
			failing = time.Now()
		}
		if len(later.Voters) > 0 && n.safeguards.senders.SetLater(later, time.Now()) {
			n.log.Info("learned from other members which gateways vote", "voters", len(later.Voters), "term", later.Term)
		}
		if !sleep(ctx, inquiryInterval) {
			return
		}
	}
}

// electorate returns the present voters as others report them; none if too few answer.
func (n *Node) electorate(ctx context.Context, q quorum.Inquiry, leftOut bool) consensus.Electorate {
	ctx, cancel := context.WithTimeout(ctx, inquiryTimeout)
	defer cancel()
	incoming := make(chan quorum.Report, len(q.Gateways))
	var calls sync.WaitGroup
	defer func() {
		cancel() // the answers of the others are not needed
		calls.Wait()
	}()
	for _, id := range q.Gateways {
		if id == n.cfg.ID {
			continue
		}
		calls.Go(func() {
			if e, err := n.cfg.Remote.Electorate(ctx, id); err == nil { // else it is away, or its build does not have the call
				incoming <- quorum.Report{From: id, Electorate: e}
			}
		})
	}
	var reports []quorum.Report
	headStart := time.After(trustedHeadStart)
	patience := quorum.Fresh
	for {
		if result := q.Result(reports, patience); len(result.Voters) > 0 {
			return result
		}
		select {
		case r := <-incoming:
			reports = append(reports, r)
		case <-headStart:
			patience = quorum.Waited
		case <-ctx.Done():
			if leftOut {
				return q.Result(reports, quorum.LeftOut)
			}
			return consensus.Electorate{}
		}
	}
}

// newInquiry returns an inquiry of all gateways, or only of those that are trusted.
func (n *Node) newInquiry(inst *instance, trustedOnly bool) quorum.Inquiry {
	q := quorum.Inquiry{Own: n.cfg.ID, Sponsors: n.View().Sponsors(time.Now())}
	if len(inst.servers()) == 0 {
		q.Voters = n.safeguards.senders.Admitted(time.Now())
	}
	for _, s := range inst.servers() {
		if s.Suffrage == raft.Voter {
			q.Voters = append(q.Voters, catalog.GatewayID(s.ID))
		}
	}
	for _, g := range n.View().Gateways() {
		if !trustedOnly || q.Trusts(g.ID()) {
			q.Gateways = append(q.Gateways, g.ID())
		}
	}
	return q
}

// Electorate returns which gateways vote, as this member has it.
func (n *Node) Electorate() (consensus.Electorate, error) {
	inst := n.instance.Load()
	if inst == nil {
		return consensus.Electorate{}, consensus.ErrClosed
	}
	e := consensus.Electorate{Term: inst.raft.CurrentTerm()}
	view := n.View()
	for _, s := range inst.servers() {
		if s.Suffrage != raft.Voter {
			continue
		}
		id := catalog.GatewayID(s.ID)
		dc, _ := view.Datacenter(id.Datacenter())
		e.Voters = append(e.Voters, consensus.Voter{ID: id, CA: dc.CACertificate})
	}
	return e, nil
}

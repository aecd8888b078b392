package raftnode

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// abstention is how long a datacenter that is about to leave gets no vote. If
	// it does not leave, its gateways are voters again after it.
	abstention = 30 * time.Second
	// abstainRetry is how often the leader is told, which may be a new one.
	abstainRetry = time.Second
)

// abstain takes note for this term that a gateway's datacenter is about to leave.
func (l *leadership) abstain(id catalog.GatewayID, now time.Time) {
	l.mu.Lock()
	if l.abstaining == nil {
		l.abstaining = make(map[catalog.DatacenterName]time.Time)
	}
	l.abstaining[id.Datacenter()] = now.Add(abstention)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *leadership) abstains(id catalog.GatewayID, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Before(l.abstaining[id.Datacenter()])
}

// Abstain gives away the votes of all gateways of this member's datacenter, and
// leadership, while everybody still trusts them: who has left is not heard any
// more, and the others have to be able to decide without him. It returns when
// that is so, or nobody else is there. Any member may be asked.
func (n *Node) Abstain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, n.conf.ProposeTimeout)
	defer cancel()
	own := n.conf.ID.Datacenter()
	for {
		if !slices.ContainsFunc(n.View().Gateways(), func(g catalog.Gateway) bool { return g.Datacenter != own }) || !n.votes(own) {
			return nil
		}
		err := n.operate(ctx, consensus.LeaderOperation{Kind: consensus.Abstain, Target: n.conf.ID}, false)
		if err != nil {
			return err
		}
		if !pause(ctx, abstainRetry) {
			return errors.Join(errors.New("the others have not taken over the votes"), ctx.Err())
		}
	}
}

// votes tells whether a gateway of the datacenter has a vote.
func (n *Node) votes(dc catalog.DatacenterName) bool {
	return slices.ContainsFunc(n.Status().Peers, func(p consensus.Peer) bool { return p.Voter && p.ID.Datacenter() == dc })
}

package raftnode

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

const (
	// abstention is how long a datacenter that is about to leave gets no vote.
	// If it does not leave, its gateways get votes again afterwards.
	abstention = 30 * time.Second
	// abstainInterval is how often the request is repeated, because a new leader
	// does not have it.
	abstainInterval = time.Second
)

// abstain records for this term that the datacenter of the gateway is about to
// leave.
func (l *leadership) abstain(id catalog.GatewayID, now time.Time) {
	l.mu.Lock()
	if l.abstaining == nil {
		l.abstaining = make(map[catalog.DatacenterName]time.Time)
	}
	l.abstaining[id.Datacenter()] = now.Add(abstention)
	l.mu.Unlock()
	l.checkMembership()
}

func (l *leadership) abstains(id catalog.GatewayID, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Before(l.abstaining[id.Datacenter()])
}

// Abstain transfers the votes of all gateways of this member's datacenter, and
// leadership, to the others. It must be called before the datacenter leaves: the
// others trust its gateways only until then, and without their votes they could
// be left without a quorum. It returns when the datacenter has no vote, or when
// there is no other datacenter. It may be called on any member.
func (n *Node) Abstain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.ProposeTimeout)
	defer cancel()
	own := n.cfg.ID.Datacenter()
	for hasOthers(n.View(), own) && n.Status().HasVotes(own) {
		err := n.operate(ctx, consensus.LeaderOperation{Kind: consensus.Abstain, Target: n.cfg.ID})
		if err != nil {
			return err
		}
		if !sleep(ctx, abstainInterval) {
			return errors.Join(errors.New("the other datacenters have not taken over the votes"), ctx.Err())
		}
	}
	return nil
}

// hasOthers reports whether the catalog has gateways of other datacenters.
func hasOthers(view *replica.View, own catalog.DatacenterName) bool {
	return slices.ContainsFunc(view.Gateways(), func(g catalog.Gateway) bool { return g.Datacenter != own })
}

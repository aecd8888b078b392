package raftnode

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus/catalog"
)

// reconcileMembership takes the next steps towards the catalog. Whatever fails
// is tried again at the next look.
func (n *Node) reconcileMembership(ctx context.Context, inst *instance, lead *leadership) {
	n.reconfiguring <- struct{}{}
	defer func() { <-n.reconfiguring }()
	var gateways []catalog.GatewayID
	for _, g := range n.View().Gateways() {
		gateways = append(gateways, g.ID())
	}
	members := n.members(inst, lead)
	plan := planMembership(members, gateways)
	for _, id := range plan.add {
		n.reconfigure(ctx, "add", id, func() raft.IndexFuture {
			return inst.raft.AddNonvoter(raft.ServerID(id), raft.ServerAddress(id), 0, inst.timers.Election)
		})
	}
	for _, id := range plan.remove {
		n.reconfigure(ctx, "remove", id, func() raft.IndexFuture {
			return inst.raft.RemoveServer(raft.ServerID(id), 0, inst.timers.Election)
		})
	}
	for _, id := range plan.deferred {
		n.log.Warn("member stays: the others have no quorum without it", "peer", id)
	}
	if plan.handOver && len(plan.remove) == 0 {
		if err := n.transferTo(inst, successor(members)); err != nil {
			n.log.Info("this leader leaves and cannot hand over yet", "err", err)
		}
	}
}

// reconfigure makes one change and waits until it is committed.
func (n *Node) reconfigure(ctx context.Context, verb string, id catalog.GatewayID, change func() raft.IndexFuture) {
	if ctx.Err() != nil {
		return
	}
	if err := change().Error(); err != nil {
		n.log.Info("membership change failed, will try again", "change", verb, "peer", id, "err", err)
		return
	}
	n.log.Info("membership changed", "change", verb, "peer", id)
}

// transferTo hands leadership to a voter; an empty id is nobody.
func (n *Node) transferTo(inst *instance, to catalog.GatewayID) error {
	if to == "" {
		return errors.New("no healthy voter to hand leadership to")
	}
	if err := inst.raft.LeadershipTransferToServer(raft.ServerID(to), raft.ServerAddress(to)).Error(); err != nil {
		return fmt.Errorf("transfer leadership to %s: %w", to, err)
	}
	n.log.Info("leadership handed over", "to", to)
	return nil
}

// handOver gives leadership away before this member stops, so that the others
// need no election.
func (n *Node) handOver(inst *instance) {
	if inst.raft.State() != raft.Leader {
		return
	}
	lead := &leadership{term: inst.raft.CurrentTerm()}
	to := successor(n.members(inst, lead))
	if to == "" {
		return
	}
	if err := n.transferTo(inst, to); err != nil {
		n.log.Warn("leadership not handed over, the others will elect", "err", err)
	}
}

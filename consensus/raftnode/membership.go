package raftnode

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus/catalog"
)

// maintainMembership keeps raft's members equal to the gateways of the catalog
// until ctx ends. It checks them when the catalog changes and when autopilot has
// checked the health of the members.
func (l *leadership) maintainMembership(ctx context.Context) {
	for {
		changed := l.node.Changed()
		l.reconcileMembership(ctx)
		select {
		case <-changed:
		case <-l.check:
		case <-ctx.Done():
			return
		}
	}
}

// checkMembership makes maintainMembership check the members again.
func (l *leadership) checkMembership() {
	select {
	case l.check <- struct{}{}:
	default:
	}
}

// reconcileMembership takes the next steps towards the catalog. A step that fails
// is repeated at the next check.
func (l *leadership) reconcileMembership(ctx context.Context) {
	l.node.reconfiguration.lock()
	defer l.node.reconfiguration.unlock()
	var gateways []catalog.GatewayID
	for _, g := range l.node.View().Gateways() {
		gateways = append(gateways, g.ID())
	}
	members := l.members()
	plan := planMembership(members, gateways)
	timeout := l.inst.timers.ElectionTimeout
	for _, id := range plan.add {
		l.reconfigure(ctx, "add", id, func() raft.IndexFuture {
			return l.inst.raft.AddNonvoter(raft.ServerID(id), raft.ServerAddress(id), 0, timeout)
		})
	}
	for _, id := range plan.remove {
		l.reconfigure(ctx, "remove", id, func() raft.IndexFuture {
			return l.inst.raft.RemoveServer(raft.ServerID(id), 0, timeout)
		})
	}
	for _, id := range plan.deferred {
		l.node.log.Warn("a gateway that left the catalog keeps its vote for now: without it the other voters have no quorum", "gateway", id)
	}
	if plan.leaderLeaves && len(plan.remove) == 0 {
		if err := l.transferTo(successor(members)); err != nil {
			l.node.log.Info("this leader of the catalog leaves and cannot transfer leadership yet", "err", err)
		}
	}
}

// reconfigure makes one change and waits until it is committed.
func (l *leadership) reconfigure(ctx context.Context, verb string, id catalog.GatewayID, change func() raft.IndexFuture) {
	if ctx.Err() != nil {
		return
	}
	if err := change().Error(); err != nil {
		l.node.log.Info("failed to change raft's members; will retry", "change", verb, "gateway", id, "err", err)
		return
	}
	l.node.log.Info("changed raft's members", "change", verb, "gateway", id)
}

// transferTo transfers leadership to a voter; to is empty if there is none that
// could lead.
func (l *leadership) transferTo(to catalog.GatewayID) error {
	if to == "" {
		return errors.New("there is no healthy voter to transfer leadership to")
	}
	if err := l.inst.raft.LeadershipTransferToServer(raft.ServerID(to), raft.ServerAddress(to)).Error(); err != nil {
		return fmt.Errorf("transfer leadership to %s: %w", to, err)
	}
	l.node.log.Info("transferred the leadership of the catalog", "gateway", to)
	return nil
}

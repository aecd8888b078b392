package raftnode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/raftnode/internal/quorum"
)

// maxTrailing is how many entries a healthy member may lack.
const maxTrailing = 1000

// moveInterval is the number of election timeouts between two attempts of a leader to
// transfer leadership to a better one.
const moveInterval = 10

// members judges all members as of now. They are sorted by id.
func (l *leadership) members() []quorum.Member {
	contacts, _ := l.node.contacts.All()
	view, now, last := l.node.View(), time.Now(), l.inst.raft.LastIndex()
	sponsors := view.Sponsors(now)
	var all []quorum.Member
	for _, s := range l.inst.servers() {
		m := quorum.Member{ID: catalog.GatewayID(s.ID), Voter: s.Suffrage == raft.Voter, Abstains: l.abstains(catalog.GatewayID(s.ID), now), LastIndex: last}
		gateway, ok := view.Gateway(m.ID)
		m.InCatalog, m.Datacenter, m.Families, m.Witness = ok, gateway.Datacenter, quorum.FamiliesOf(gateway), gateway.Witness
		m.Sponsor = sponsors.VotesAs(m.Datacenter, l.node.cfg.ID.Datacenter(), now)
		if m.ID == l.node.cfg.ID {
			m.Leader, m.Healthy = true, true
		} else {
			c := contacts[s.ID]
			m.LastIndex = c.LastIndex
			m.Healthy = c.Term == l.term && now.Sub(c.At) <= l.inst.timers.contactThreshold() &&
				c.LastIndex >= l.firstIndex && c.LastIndex+maxTrailing >= last
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b quorum.Member) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// maintainMembership keeps raft's members equal to the gateways of the catalog until ctx ends. It
// checks them when gateways or datacenters change and when autopilot has checked their health.
func (l *leadership) maintainMembership(ctx context.Context) {
	for {
		changed := l.node.TopologyChanged()
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
	plan := quorum.PlanMembers(members, gateways)
	timeout := l.inst.timers.ElectionTimeout
	for _, id := range plan.Add {
		l.reconfigure(ctx, "add", id, func() raft.IndexFuture {
			return l.inst.raft.AddNonvoter(raft.ServerID(id), raft.ServerAddress(id), 0, timeout)
		})
	}
	for _, id := range plan.Remove {
		l.reconfigure(ctx, "remove", id, func() raft.IndexFuture {
			return l.inst.raft.RemoveServer(raft.ServerID(id), 0, timeout)
		})
	}
	for _, id := range plan.Deferred {
		l.node.log.Warn("a gateway that left the catalog keeps its vote until another voter is healthy: without it the others have no quorum", "gateway", id)
	}
	switch {
	case plan.LeaderLeaves && len(plan.Remove) == 0:
		if err := l.transferTo(quorum.Successor(members)); err != nil {
			l.node.log.Info("this leader of the catalog leaves and cannot transfer leadership yet", "err", err)
		}
	case plan.Better != "" && !time.Now().Before(l.moves):
		l.moves = time.Now().Add(moveInterval * timeout) // matters if the transfer fails
		l.node.log.Info("another voter should lead: this gateway is a witness, or has no address family in common with a gateway that the other one reaches", "gateway", plan.Better)
		if err := l.transferTo(plan.Better); err != nil {
			l.node.log.Warn("failed to transfer the leadership of the catalog; will retry", "err", err)
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
	defer l.suspendLease()()
	if err := l.inst.raft.LeadershipTransferToServer(raft.ServerID(to), raft.ServerAddress(to)).Error(); err != nil {
		return fmt.Errorf("transfer leadership to %s: %w", to, err)
	}
	l.node.log.Info("transferred the leadership of the catalog", "gateway", to)
	return nil
}

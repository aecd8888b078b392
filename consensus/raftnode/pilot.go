package raftnode

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// newPilot makes the autopilot of one term. It watches everybody's health and
// carries out what planVoters decides. Adding and removing members is not its
// work, see reconcileMembership.
func (n *Node) newPilot(inst *instance, lead *leadership) *autopilot.Autopilot {
	p := &pilot{node: n, inst: inst, lead: lead}
	return autopilot.New(&pilotRaft{Raft: inst.raft, pilot: p}, p,
		autopilot.WithPromoter(p),
		autopilot.WithLogger(newBridge(n.log)),
		autopilot.WithUpdateInterval(inst.timers.Heartbeat),
		autopilot.WithReconcileInterval(inst.timers.Heartbeat),
	)
}

// pilot answers autopilot's questions from the catalog and from what peers
// answered to the leader's own messages; no calls are made for it.
type pilot struct {
	node *Node
	inst *instance
	lead *leadership
}

var (
	_ autopilot.ApplicationIntegration = (*pilot)(nil)
	_ autopilot.Promoter               = (*pilot)(nil)
)

// AutopilotConfig never lets autopilot remove servers: a partition must not
// shrink the set of voters.
func (p *pilot) AutopilotConfig() *autopilot.Config {
	return &autopilot.Config{
		CleanupDeadServers:      false,
		LastContactThreshold:    p.inst.timers.contactThreshold(),
		MaxTrailingLogs:         maxTrailing,
		ServerStabilizationTime: p.inst.timers.stabilization(),
	}
}

// NotifyState wakes the membership loop: health may allow what it had to defer.
func (p *pilot) NotifyState(*autopilot.State) {
	select {
	case p.lead.wake <- struct{}{}:
	default:
	}
}

// FetchServerStats says what is known of each server. Its last term is this one
// when its log reaches into it, and unknown (0) before.
func (p *pilot) FetchServerStats(_ context.Context, servers map[raft.ServerID]*autopilot.Server,
) map[raft.ServerID]*autopilot.ServerStats {
	peers, _ := p.node.contacts.snapshot()
	stats := make(map[raft.ServerID]*autopilot.ServerStats, len(servers))
	now := time.Now()
	for id := range servers {
		if id == raft.ServerID(p.node.conf.ID) {
			stats[id] = &autopilot.ServerStats{LastTerm: p.lead.term, LastIndex: p.inst.raft.LastIndex()}
			continue
		}
		c := peers[id]
		s := &autopilot.ServerStats{LastContact: now.Sub(c.at), LastIndex: c.lastIndex}
		if c.term == p.lead.term && c.lastIndex >= p.lead.start {
			s.LastTerm = c.term
		}
		stats[id] = s
	}
	return stats
}

// KnownServers are the gateways of the catalog. Whether they live is judged by
// contact alone.
func (p *pilot) KnownServers() map[raft.ServerID]*autopilot.Server {
	servers := make(map[raft.ServerID]*autopilot.Server)
	for _, g := range p.node.View().Gateways() {
		id := raft.ServerID(g.ID())
		servers[id] = &autopilot.Server{
			ID: id, Name: string(g.ID()), Address: raft.ServerAddress(id), Version: g.Version,
			NodeStatus: autopilot.NodeAlive, RaftVersion: int(raft.ProtocolVersionMax),
			NodeType: autopilot.NodeVoter, IsLeader: g.ID() == p.node.conf.ID,
		}
	}
	return servers
}

// RemoveFailedServer is never called, see AutopilotConfig.
func (p *pilot) RemoveFailedServer(*autopilot.Server) {}

// CalculatePromotionsAndDemotions judges by what is true now; the state is up to
// one interval old and gives only how long each server has been healthy.
func (p *pilot) CalculatePromotionsAndDemotions(_ *autopilot.Config, state *autopilot.State) autopilot.RaftChanges {
	promote, demote := planVoters(p.judge(state))
	return autopilot.RaftChanges{Promotions: serverIDs(promote), Demotions: serverIDs(demote)}
}

func (p *pilot) judge(state *autopilot.State) []member {
	members := p.node.members(p.inst, p.lead)
	now := time.Now()
	for i := range members {
		m := &members[i]
		if s, ok := state.Servers[raft.ServerID(m.id)]; ok {
			m.stable = m.healthy && s.Health.IsStable(now, p.inst.timers.stabilization())
		}
	}
	return members
}

func serverIDs(ids []catalog.GatewayID) []raft.ServerID {
	var out []raft.ServerID
	for _, id := range ids {
		out = append(out, raft.ServerID(id))
	}
	return out
}

// GetServerExt, GetStateExt, GetNodeTypes, FilterFailedServerRemovals and
// IsPotentialVoter have nothing to add.
func (p *pilot) GetServerExt(*autopilot.Config, *autopilot.ServerState) any { return nil }

// GetStateExt implements autopilot.Promoter.
func (p *pilot) GetStateExt(*autopilot.Config, *autopilot.State) any { return nil }

// GetNodeTypes implements autopilot.Promoter.
func (p *pilot) GetNodeTypes(*autopilot.Config, *autopilot.State) map[raft.ServerID]autopilot.NodeType {
	return nil
}

// FilterFailedServerRemovals implements autopilot.Promoter.
func (p *pilot) FilterFailedServerRemovals(*autopilot.Config, *autopilot.State, *autopilot.FailedServers) *autopilot.FailedServers {
	return &autopilot.FailedServers{}
}

// IsPotentialVoter implements autopilot.Promoter.
func (p *pilot) IsPotentialVoter(t autopilot.NodeType) bool { return t == autopilot.NodeVoter }

// pilotRaft is raft as autopilot sees it: each change of votes is made one at a
// time with those of the membership loop, and looked at once more before.
type pilotRaft struct {
	*raft.Raft
	pilot *pilot
}

var _ autopilot.Raft = (*pilotRaft)(nil)

var errOutdated = errors.New("outdated: the members have changed since it was decided")

// AddVoter implements autopilot.Raft.
func (r *pilotRaft) AddVoter(id raft.ServerID, address raft.ServerAddress, _ uint64, _ time.Duration) raft.IndexFuture {
	return r.change(id, false, func(timeout time.Duration) raft.IndexFuture {
		return r.Raft.AddVoter(id, address, 0, timeout)
	})
}

// DemoteVoter implements autopilot.Raft.
func (r *pilotRaft) DemoteVoter(id raft.ServerID, _ uint64, _ time.Duration) raft.IndexFuture {
	return r.change(id, true, func(timeout time.Duration) raft.IndexFuture {
		return r.Raft.DemoteVoter(id, 0, timeout)
	})
}

func (r *pilotRaft) change(id raft.ServerID, demotion bool, f func(time.Duration) raft.IndexFuture) raft.IndexFuture {
	n := r.pilot.node
	n.reconfiguring <- struct{}{}
	defer func() { <-n.reconfiguring }()
	lead := n.leading.Load()
	if lead != r.pilot.lead {
		return failedChange{consensus.ErrNotLeader}
	}
	promote, demote := planVoters(r.pilot.judge(lead.pilot.GetState()))
	wanted := promote
	if demotion {
		wanted = demote
	}
	if !slices.Contains(wanted, catalog.GatewayID(id)) {
		return failedChange{errOutdated}
	}
	future := f(r.pilot.inst.timers.Election)
	if err := future.Error(); err != nil { // waits: the lock is held until it is committed
		return failedChange{err}
	}
	return future
}

// failedChange is a raft.IndexFuture of a change that was not made.
type failedChange struct{ err error }

func (f failedChange) Error() error { return f.err }
func (failedChange) Index() uint64  { return 0 }

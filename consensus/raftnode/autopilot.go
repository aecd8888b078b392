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
	"github.com/meshway/meshway/consensus/raftnode/internal/hclogger"
	"github.com/meshway/meshway/consensus/raftnode/internal/quorum"
)

// newAutopilot creates the autopilot of one term. It measures the health of the
// members and executes what planVoters decides. Members are added and removed by
// reconcileMembership.
func newAutopilot(lead *leadership) *autopilot.Autopilot {
	i := &integration{lead}
	interval := lead.inst.timers.HeartbeatTimeout
	return autopilot.New(&votingRaft{Raft: lead.inst.raft, lead: lead}, i,
		autopilot.WithPromoter(i),
		autopilot.WithLogger(hclogger.New(lead.node.log)),
		autopilot.WithUpdateInterval(interval),
		autopilot.WithReconcileInterval(interval),
	)
}

// integration gives autopilot its input: the catalog, and the answers of the
// members to the leader's own messages. It makes no calls to members.
type integration struct{ lead *leadership }

var (
	_ autopilot.ApplicationIntegration = (*integration)(nil)
	_ autopilot.Promoter               = (*integration)(nil)
)

// AutopilotConfig implements autopilot.ApplicationIntegration. Autopilot must not
// remove servers: a partition must not shrink the set of voters.
func (i *integration) AutopilotConfig() *autopilot.Config {
	return &autopilot.Config{
		CleanupDeadServers:      false,
		LastContactThreshold:    i.lead.inst.timers.contactThreshold(),
		MaxTrailingLogs:         maxTrailing,
		ServerStabilizationTime: i.lead.inst.timers.stabilization(),
	}
}

// NotifyState implements autopilot.ApplicationIntegration. A member that is
// healthy again can allow a change that was deferred.
func (i *integration) NotifyState(*autopilot.State) { i.lead.checkMembership() }

// FetchServerStats implements autopilot.ApplicationIntegration. The last term of
// a server is this one when its log has entries of this term, else unknown (0).
func (i *integration) FetchServerStats(_ context.Context, servers map[raft.ServerID]*autopilot.Server,
) map[raft.ServerID]*autopilot.ServerStats {
	lead := i.lead
	contacts, _ := lead.node.contacts.All()
	stats := make(map[raft.ServerID]*autopilot.ServerStats, len(servers))
	now := time.Now()
	for id := range servers {
		if id == raft.ServerID(lead.node.cfg.ID) {
			stats[id] = &autopilot.ServerStats{LastTerm: lead.term, LastIndex: lead.inst.raft.LastIndex()}
			continue
		}
		c := contacts[id]
		s := &autopilot.ServerStats{LastContact: now.Sub(c.At), LastIndex: c.LastIndex}
		if c.Term == lead.term && c.LastIndex >= lead.firstIndex {
			s.LastTerm = c.Term
		}
		stats[id] = s
	}
	return stats
}

// KnownServers implements autopilot.ApplicationIntegration. All gateways of the
// catalog count as alive; only their answers decide whether they are healthy.
func (i *integration) KnownServers() map[raft.ServerID]*autopilot.Server {
	servers := make(map[raft.ServerID]*autopilot.Server)
	for _, g := range i.lead.node.View().Gateways() {
		id := raft.ServerID(g.ID())
		servers[id] = &autopilot.Server{
			ID:          id,
			Name:        string(g.ID()),
			Address:     raft.ServerAddress(id),
			Version:     g.Version,
			NodeStatus:  autopilot.NodeAlive,
			RaftVersion: int(raft.ProtocolVersionMax),
			NodeType:    autopilot.NodeVoter,
			IsLeader:    g.ID() == i.lead.node.cfg.ID,
		}
	}
	return servers
}

// RemoveFailedServer implements autopilot.ApplicationIntegration. It is never
// called, see AutopilotConfig.
func (i *integration) RemoveFailedServer(*autopilot.Server) {}

// CalculatePromotionsAndDemotions implements autopilot.Promoter. It takes from
// the state, which is up to one interval old, only how long each server has been
// healthy.
func (i *integration) CalculatePromotionsAndDemotions(_ *autopilot.Config, state *autopilot.State) autopilot.RaftChanges {
	promote, demote := quorum.PlanVoters(i.lead.stableMembers(state))
	return autopilot.RaftChanges{Promotions: serverIDs(promote), Demotions: serverIDs(demote)}
}

// stableMembers is members, with stable set from the state of autopilot.
func (l *leadership) stableMembers(state *autopilot.State) []quorum.Member {
	members := l.members()
	now := time.Now()
	for i := range members {
		m := &members[i]
		if s, ok := state.Servers[raft.ServerID(m.ID)]; ok {
			m.Stable = m.Healthy && s.Health.IsStable(now, l.inst.timers.stabilization())
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

// GetServerExt implements autopilot.Promoter.
func (i *integration) GetServerExt(*autopilot.Config, *autopilot.ServerState) any { return nil }

// GetStateExt implements autopilot.Promoter.
func (i *integration) GetStateExt(*autopilot.Config, *autopilot.State) any { return nil }

// GetNodeTypes implements autopilot.Promoter.
func (i *integration) GetNodeTypes(*autopilot.Config, *autopilot.State) map[raft.ServerID]autopilot.NodeType {
	return nil
}

// FilterFailedServerRemovals implements autopilot.Promoter.
func (i *integration) FilterFailedServerRemovals(*autopilot.Config, *autopilot.State, *autopilot.FailedServers) *autopilot.FailedServers {
	return &autopilot.FailedServers{}
}

// IsPotentialVoter implements autopilot.Promoter.
func (i *integration) IsPotentialVoter(t autopilot.NodeType) bool { return t == autopilot.NodeVoter }

// votingRaft is the raft that autopilot changes. It excludes other changes of the
// members meanwhile, and decides again immediately before each change.
type votingRaft struct {
	*raft.Raft
	lead *leadership
}

var _ autopilot.Raft = (*votingRaft)(nil)

var errOutdated = errors.New("outdated: the members have changed since the decision")

// AddVoter implements autopilot.Raft.
func (r *votingRaft) AddVoter(id raft.ServerID, address raft.ServerAddress, _ uint64, _ time.Duration) raft.IndexFuture {
	return r.change(id, false, func(timeout time.Duration) raft.IndexFuture {
		return r.Raft.AddVoter(id, address, 0, timeout)
	})
}

// DemoteVoter implements autopilot.Raft.
func (r *votingRaft) DemoteVoter(id raft.ServerID, _ uint64, _ time.Duration) raft.IndexFuture {
	return r.change(id, true, func(timeout time.Duration) raft.IndexFuture {
		return r.Raft.DemoteVoter(id, 0, timeout)
	})
}

func (r *votingRaft) change(id raft.ServerID, demotion bool, f func(time.Duration) raft.IndexFuture) raft.IndexFuture {
	n := r.lead.node
	n.reconfiguration.lock()
	defer n.reconfiguration.unlock()
	if n.leadership.Load() != r.lead {
		return failedChange{consensus.ErrNotLeader}
	}
	promote, demote := quorum.PlanVoters(r.lead.stableMembers(r.lead.autopilot.GetState()))
	planned := promote
	if demotion {
		planned = demote
	}
	if !slices.Contains(planned, catalog.GatewayID(id)) {
		return failedChange{errOutdated}
	}
	future := f(r.lead.inst.timers.ElectionTimeout)
	if err := future.Error(); err != nil { // waits for the commit, under the lock
		return failedChange{err}
	}
	return future
}

// failedChange is the raft.IndexFuture of a change that was not made.
type failedChange struct{ err error }

func (f failedChange) Error() error { return f.err }
func (failedChange) Index() uint64  { return 0 }

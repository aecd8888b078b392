// Package voting runs raft-autopilot for one term of a leader: it measures how long each
// member has been healthy, and executes the promotions and demotions that the leader
// decides. It adds and removes no members.
package voting

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/meshway/meshway/consensus/catalog"
)

// Leader is the term of a leader.
type Leader interface {
	// Gateways returns the gateways of the catalog.
	Gateways() []catalog.Gateway
	// Stats returns what the leader has of a member.
	Stats(raft.ServerID) *autopilot.ServerStats
	// PlanVoters decides which members get a vote or lose it. It takes from the state,
	// which is up to one interval old, only how long each server has been healthy.
	PlanVoters(*autopilot.State) (promote, demote []catalog.GatewayID)
	// Exclusively excludes other changes of the members during a change, which fails if
	// the term has ended.
	Exclusively(change func() raft.IndexFuture) raft.IndexFuture
	// HealthChecked is called when the health of the members was checked.
	HealthChecked()
}

// Config configures New. All fields are required.
type Config struct {
	ID               catalog.GatewayID // of the leader
	Raft             *raft.Raft
	Leader           Leader
	Interval         time.Duration // between two checks
	ContactThreshold time.Duration // how long after its last answer a member becomes unhealthy
	Stabilization    time.Duration // how long a member must have been healthy before it may vote
	ChangeTimeout    time.Duration
	MaxTrailing      uint64 // entries that a healthy member may lack
	Log              hclog.Logger
}

// New creates the autopilot of one term.
func New(cfg Config) *autopilot.Autopilot {
	i := &integration{cfg}
	changer := &votingRaft{Raft: cfg.Raft, leader: cfg.Leader, timeout: cfg.ChangeTimeout}
	a := autopilot.New(changer, i,
		autopilot.WithPromoter(i),
		autopilot.WithLogger(cfg.Log),
		autopilot.WithUpdateInterval(cfg.Interval),
		autopilot.WithReconcileInterval(cfg.Interval),
	)
	changer.state = a.GetState
	return a
}

// integration gives autopilot its input: the catalog, and the answers of the
// members to the leader's own messages. It makes no calls to members.
type integration struct{ cfg Config }

var (
	_ autopilot.ApplicationIntegration = (*integration)(nil)
	_ autopilot.Promoter               = (*integration)(nil)
)

// AutopilotConfig implements autopilot.ApplicationIntegration. Autopilot must not
// remove servers: a partition must not shrink the set of voters.
func (i *integration) AutopilotConfig() *autopilot.Config {
	return &autopilot.Config{
		CleanupDeadServers:      false,
		LastContactThreshold:    i.cfg.ContactThreshold,
		MaxTrailingLogs:         i.cfg.MaxTrailing,
		ServerStabilizationTime: i.cfg.Stabilization,
	}
}

// NotifyState implements autopilot.ApplicationIntegration. A member that is
// healthy again can allow a change that was deferred.
func (i *integration) NotifyState(*autopilot.State) { i.cfg.Leader.HealthChecked() }

// FetchServerStats implements autopilot.ApplicationIntegration.
func (i *integration) FetchServerStats(_ context.Context, servers map[raft.ServerID]*autopilot.Server,
) map[raft.ServerID]*autopilot.ServerStats {
	stats := make(map[raft.ServerID]*autopilot.ServerStats, len(servers))
	for id := range servers {
		stats[id] = i.cfg.Leader.Stats(id)
	}
	return stats
}

// KnownServers implements autopilot.ApplicationIntegration. All gateways of the
// catalog count as alive; only their answers decide whether they are healthy.
func (i *integration) KnownServers() map[raft.ServerID]*autopilot.Server {
	servers := make(map[raft.ServerID]*autopilot.Server)
	for _, g := range i.cfg.Leader.Gateways() {
		id := raft.ServerID(g.ID())
		servers[id] = &autopilot.Server{
			ID:          id,
			Name:        string(g.ID()),
			Address:     raft.ServerAddress(id),
			Version:     g.Version,
			NodeStatus:  autopilot.NodeAlive,
			RaftVersion: int(raft.ProtocolVersionMax),
			NodeType:    autopilot.NodeVoter,
			IsLeader:    g.ID() == i.cfg.ID,
		}
	}
	return servers
}

// RemoveFailedServer implements autopilot.ApplicationIntegration. It is never
// called, see AutopilotConfig.
func (i *integration) RemoveFailedServer(*autopilot.Server) {}

// CalculatePromotionsAndDemotions implements autopilot.Promoter.
func (i *integration) CalculatePromotionsAndDemotions(_ *autopilot.Config, state *autopilot.State) autopilot.RaftChanges {
	promote, demote := i.cfg.Leader.PlanVoters(state)
	return autopilot.RaftChanges{Promotions: serverIDs(promote), Demotions: serverIDs(demote)}
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

package status

import (
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// Sources is everything that a snapshot is made of.
type Sources struct {
	At          time.Time // of the pass; health checks take it as the loop's sign of life
	StartedAt   time.Time // of the agent
	Version     string    // of meshd
	State       State
	PublicKey   tunnel.PublicKey
	Certificate time.Time // end of validity of this gateway's certificate; zero: there is none
	Inputs      plan.Inputs
	Desired     plan.Desired
	Problems    []plan.Problem    // of the plan and of everybody else
	Tunnels     []tunnel.Observed // what the last apply returned
	Routes      routes.Observed   // what the last apply returned
	Services    map[catalog.DatacenterName]int
	Consensus   Consensus
	Queue       Queue
	LastApply   time.Time // of the last pass that applied everything without error; zero: none yet
	Errors      []string  // of the appliers in the last pass
}

// Consensus is the catalog's consensus as this gateway sees it.
type Consensus struct {
	Role         string // leader, follower, candidate, or empty: not running
	Leader       catalog.GatewayID
	Term         uint64
	AppliedIndex uint64
	CommitIndex  uint64
	LastContact  time.Duration // since the leader was heard; 0 on the leader
	Timers       string        // lan or wan
	Peers        []ConsensusPeer
}

// ConsensusPeer is one member of the catalog.
type ConsensusPeer struct {
	ID      catalog.GatewayID
	Voter   bool
	Healthy bool
}

// Build makes the snapshot. It is pure: everything is sorted and no slice is
// nil, so that JSON has [] and equal sources give equal bytes.
func Build(s Sources) Snapshot { return Snapshot{At: s.At, Version: s.Version, State: s.State} }

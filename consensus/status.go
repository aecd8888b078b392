package consensus

import (
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// Status is a member's view of the replication.
type Status struct {
	Role         string // leader, follower or candidate; empty: not running
	Leader       catalog.GatewayID
	Term         uint64
	LastContact  time.Duration // since the last message of the leader; 0 on the leader, negative: never
	CommitIndex  uint64
	AppliedIndex uint64 // of the last command in the local copy
	Timers       string // name of the timers in use: lan, wan
	Peers        []Peer // all members, sorted by id; nil: not running
	Refused      []Refused
	// RefusedCommands are those that this member refused as leader, since its start.
	RefusedCommands []RefusedCommands
}

// RefusedCommands counts the commands of one author that were refused for one reason.
type RefusedCommands struct {
	Author catalog.GatewayID
	Code   string
	Count  uint64
}

// Refused counts the messages of raft of one gateway that were refused for one reason
// since the start, and describes the last one.
type Refused struct {
	Gateway catalog.GatewayID
	Code    string
	Count   uint64
	Last    time.Time
	Message string
}

// Peer is one member of the replication.
type Peer struct {
	ID          catalog.GatewayID
	Voter       bool
	Leader      bool
	Healthy     bool          // set only on the leader
	LastContact time.Duration // since its last answer; negative: unknown, as on all but the leader
	LastIndex   uint64        // of its log; set only on the leader
}

// HasVotes reports whether a gateway of the datacenter is a voter.
func (s Status) HasVotes(dc catalog.DatacenterName) bool {
	return slices.ContainsFunc(s.Peers, func(p Peer) bool { return p.Voter && p.ID.Datacenter() == dc })
}

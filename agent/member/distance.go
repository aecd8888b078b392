package member

import (
	"time"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// The gateways are far apart beyond farLimit, and no longer so below nearLimit:
	// a path near a limit does not restart raft repeatedly.
	farLimit  = 100 * time.Millisecond
	nearLimit = 50 * time.Millisecond
	// nearFor is how long they must be near before the timers of a LAN are used again. A
	// gateway can answer slowly from time to time, and each change restarts raft.
	nearFor = time.Hour
)

// toVoters returns the longest round trip to a voter; 0: none was measured. Elections and
// the lease of the leader do not wait for the others, so that one that answers slowly does
// not change the timers of all.
func toVoters(peers []consensus.Peer, roundTrips map[catalog.GatewayID]time.Duration) time.Duration {
	var longest time.Duration
	for _, p := range peers {
		if p.Voter {
			longest = max(longest, roundTrips[p.ID])
		}
	}
	return longest
}

// distance judges how far apart the gateways are.
type distance struct {
	nearSince time.Time // zero: they are not near
}

// far reports whether the timers of raft should be those for gateways that are far apart.
// They are so far if was is set.
func (d *distance) far(was bool, longest time.Duration, now time.Time) bool {
	switch {
	case longest > farLimit || was && longest > nearLimit:
		d.nearSince = time.Time{}
		return true
	case !was:
		return false
	case d.nearSince.IsZero():
		d.nearSince = now
	}
	return now.Sub(d.nearSince) < nearFor
}

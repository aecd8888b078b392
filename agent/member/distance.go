package member

import "time"

const (
	// The gateways are far apart beyond farLimit, and no longer so below nearLimit:
	// a path near a limit does not restart raft repeatedly.
	farLimit  = 100 * time.Millisecond
	nearLimit = 50 * time.Millisecond
	// nearFor is how long they must be near before the timers of a LAN are used again. A
	// gateway can answer slowly from time to time, and each change restarts raft.
	nearFor = time.Hour
)

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

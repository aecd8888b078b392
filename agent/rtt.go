package agent

import (
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// rttWindow is how long round trips are collected before they count.
const rttWindow = time.Minute

// roundTrips finds how far apart the gateways are. The least round trip of a
// window is the distance; what is above it is load.
type roundTrips struct {
	began   time.Time
	least   map[catalog.GatewayID]time.Duration
	slowest time.Duration
}

// observe adds what was measured and returns the round trip to the farthest
// gateway in the last full window; 0: not known yet.
func (r *roundTrips) observe(now time.Time, sessions []plan.Session) time.Duration {
	if r.least == nil {
		r.began, r.least = now, map[catalog.GatewayID]time.Duration{}
	}
	for _, s := range sessions {
		if !s.Up || s.RTT == 0 {
			continue
		}
		if least, ok := r.least[s.Gateway]; !ok || s.RTT < least {
			r.least[s.Gateway] = s.RTT
		}
	}
	if now.Sub(r.began) < rttWindow {
		return r.slowest
	}
	r.slowest = 0
	for _, rtt := range r.least {
		r.slowest = max(r.slowest, rtt)
	}
	r.began, r.least = now, map[catalog.GatewayID]time.Duration{}
	return r.slowest
}

package dataplane

import (
	"maps"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// rttWindow is how long round trips are collected before they count.
const rttWindow = time.Minute

// roundTrips measures how far apart the gateways are: the shortest round trip
// in a window is the distance to a gateway, and what exceeds it is load. It is
// a value: add returns the one of the next pass.
type roundTrips struct {
	began    time.Time
	shortest map[catalog.GatewayID]time.Duration
	measured map[catalog.GatewayID]time.Duration // those of the last full window; nil: there is none yet
}

// add returns r with the round trips of the sessions that are up.
func (r roundTrips) add(now time.Time, sessions []plan.Session) roundTrips {
	r.shortest = maps.Clone(r.shortest)
	if r.shortest == nil {
		r.began, r.shortest = now, map[catalog.GatewayID]time.Duration{}
	}
	for _, s := range sessions {
		if !s.Up || s.RTT == 0 {
			continue
		}
		if shortest, ok := r.shortest[s.Gateway]; !ok || s.RTT < shortest {
			r.shortest[s.Gateway] = s.RTT
		}
	}
	if now.Sub(r.began) < rttWindow {
		return r
	}
	r.measured = r.shortest
	r.began, r.shortest = now, map[catalog.GatewayID]time.Duration{}
	return r
}

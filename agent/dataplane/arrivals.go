package dataplane

import (
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/tunnel"
)

// arrivals returns the arrivals of all peers at the time now, from those before. A counter
// that is lower than before belongs to a peer that was renewed.
func arrivals(before map[tunnel.PublicKey]plan.Arrival, now time.Time, tunnels []tunnel.Observed) map[tunnel.PublicKey]plan.Arrival {
	after := make(map[tunnel.PublicKey]plan.Arrival, len(before))
	for _, t := range tunnels {
		for _, p := range t.Peers {
			last, ok := before[p.PublicKey]
			if p.ReceivedBytes == 0 {
				continue
			}
			if p.ReceivedBytes != last.Received {
				if !ok || p.ReceivedBytes < last.Received || now.Sub(last.Last) >= plan.ArrivalPause {
					last.First = now
				}
				last.Received, last.Last = p.ReceivedBytes, now
			}
			after[p.PublicKey] = last
		}
	}
	return after
}

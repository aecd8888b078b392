package plan

import (
	"cmp"
	"slices"

	"github.com/meshway/meshway/tunnel"
)

// sessions are the liveness sessions, one for every remote gateway.
func sessions(in Inputs, topo topology) []SessionConfig {
	var out []SessionConfig
	alone := len(topo.siblings) == 0
	for _, dc := range topo.others {
		for _, p := range dc.gateways {
			out = append(out, SessionConfig{
				Gateway: p.ID(),
				Device:  LaneDevice(in.Config, p.Index),
				Local:   topo.self.Overlay,
				Remote:  p.Overlay,
				Key:     tunnel.PublicKey(p.PublicKey),
				// Both ends compute the same value, and the slower interval applies to both.
				Relaxed: alone && len(dc.gateways) == 1,
			})
		}
	}
	slices.SortFunc(out, func(a, b SessionConfig) int { return cmp.Compare(a.Gateway, b.Gateway) })
	return out
}

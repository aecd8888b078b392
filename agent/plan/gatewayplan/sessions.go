package gatewayplan

import (
	"cmp"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/tunnel"
)

// sessions are the liveness sessions, one for every remote gateway.
func sessions(in plan.Inputs, topo topology) []plan.SessionConfig {
	var out []plan.SessionConfig
	alone := len(topo.siblings) == 0
	for _, dc := range topo.others {
		for _, p := range dc.gateways {
			out = append(out, plan.SessionConfig{
				Gateway: p.ID(),
				Device:  plan.LaneDevice(in.Config, p.Index),
				Local:   topo.self.Overlay,
				Remote:  p.Overlay,
				Key:     tunnel.PublicKey(p.PublicKey),
				// Both ends compute the same value, and the slower interval applies to both.
				Relaxed: alone && len(dc.gateways) == 1,
			})
		}
	}
	slices.SortFunc(out, func(a, b plan.SessionConfig) int { return cmp.Compare(a.Gateway, b.Gateway) })
	return out
}

package plan

import (
	"cmp"
	"slices"

	"github.com/meshway/meshway/tunnel"
)

// sessions are the liveness sessions: one in each tunnel, that is one for
// every remote gateway.
func sessions(in Inputs, m members) []SessionConfig {
	var out []SessionConfig
	for _, p := range m.peers() {
		out = append(out, SessionConfig{
			Gateway: p.ID(),
			Device:  device(in, p.Index),
			Local:   m.self.Overlay,
			Remote:  p.Overlay,
			Key:     tunnel.PublicKey(p.PublicKey),
		})
	}
	slices.SortFunc(out, func(a, b SessionConfig) int { return cmp.Compare(a.Gateway, b.Gateway) })
	return out
}

package tunnelend

import (
	"net/netip"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// Turn is how long an endpoint is tried: as long as WireGuard repeats an unanswered
// handshake (REKEY_TIMEOUT).
const Turn = 5 * time.Second

// SetEndpoint sets the endpoint of a peer within the datacenter, given the
// tunnels of this host. While the tunnel works it stays as it is; else the candidates
// are tried in turn. Candidates of a family of which this host has no
// address are left out. The slice of candidates is modified.
func SetEndpoint(h plan.Host, tunnels []tunnel.Observed, device string, candidates []netip.AddrPort, now time.Time, peer *tunnel.Peer) {
	var current tunnel.ObservedPeer
	for _, t := range tunnels {
		for _, p := range t.Peers {
			if t.Name != device || p.PublicKey != peer.PublicKey {
				continue
			}
			current = p
			if current.Endpoint.IsValid() && !p.LastHandshake.IsZero() && now.Sub(p.LastHandshake) < plan.HandshakeLifetime {
				return
			}
		}
	}
	families := plan.FamiliesOf(h, nil)
	candidates = slices.DeleteFunc(candidates, func(e netip.AddrPort) bool { return families[routes.FamilyOf(e.Addr())] == 0 })
	if len(candidates) == 0 {
		return
	}
	slices.SortFunc(candidates, netip.AddrPort.Compare)
	peer.Endpoint = candidates[ClockTurns(now)%len(candidates)]
	if current.Endpoint.IsValid() && current.Endpoint != peer.Endpoint {
		peer.Renew, peer.RenewAt = true, current.ReceivedBytes
	}
}

// ClockTurns counts the turns since 1970.
func ClockTurns(now time.Time) int { return int(now.Unix() / int64(Turn/time.Second)) }

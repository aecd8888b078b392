package gatewayplan

import (
	"net/netip"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/tunnelend"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/tunnel"
)

// How long each candidate is tried: a round trip and more at first, as in RFC 8305,
// then as long as within a datacenter.
const (
	shortTurn  = time.Second
	longTurn   = tunnelend.Turn
	shortTurns = 60 // before the long ones
)

// setEndpoint sets the endpoint of a gateway in its tunnel. Without it, the endpoint
// stays as it is. It keeps no state: the previous choice is in the data plane, and
// the time determines the candidate whose turn it is.
//
//	the peer is  data plane has   choice
//	live         an endpoint      as it is: WireGuard has it from an authentic packet
//	anything     nothing          the first candidate
//	undecided    an endpoint      as it is while it is a candidate, if there ever was
//	                              a handshake, else as of a peer that is down
//	down         an endpoint      as it is for one turn while it is a candidate, then
//	                              the candidates in turn
//
// An endpoint that is no longer a candidate (the peer restarted elsewhere and
// the catalog has its new endpoints) is given up at once.
//
// WireGuard sends at most one handshake in 5 s, to the endpoint that the peer has
// then. So that each candidate gets one in its turn, the peer is renewed with the
// new endpoint, unless it may still have a session. A lone candidate gets one in each
// short turn too: the first one is lost if the peer does not have this gateway yet.
//
// A peer from which packets have begun to arrive gets a short turn to complete its own
// handshake. To renew it in between would leave it with a session that this gateway does
// not have, which it notices after newHandshakeAfter; and both would do so to each other again,
// since their turns begin together when their sessions end together.
func setEndpoint(in plan.Inputs, p peer, t *tunnel.Peer) {
	current := p.tunnel.Endpoint
	if current.IsValid() && p.live(in.Now) {
		return
	}
	list := p.candidates
	if len(list) == 0 {
		return
	}
	if !current.IsValid() {
		t.Endpoint = list[0]
		return
	}
	turn := turns(p, in.Now)
	if turn == 0 && slices.Contains(list, current) || in.Now.Sub(p.arrival.First) < shortTurn {
		return
	}
	next, silent := list[turn%len(list)], in.Now.Sub(p.lastReceived()) >= newHandshakeAfter
	again := silent && turn < shortTurns && !in.Before.IsZero() && turns(p, in.Before) < turn
	if next != current || again {
		t.Endpoint, t.Renew, t.RenewAt = next, silent, p.tunnel.ReceivedBytes
	}
}

// newHandshakeAfter is how long WireGuard waits for an answer before it starts a new
// handshake (KEEPALIVE_TIMEOUT + REKEY_TIMEOUT, WireGuard paper, §6.5).
const newHandshakeAfter = 15 * time.Second

// live reports whether the peer is at the endpoint in the data plane: WireGuard
// follows the source of each authentic packet. A session that is down is not
// sufficient to give the endpoint up: while packets of the peer arrive, it is the
// only one that is known to work, at least in one direction.
func (p peer) live(now time.Time) bool {
	if p.usable(now) || p.state == drained {
		return true
	}
	last := p.lastReceived()
	return p.state == down && last.After(p.session.Since) && now.Sub(last) < newHandshakeAfter &&
		now.Sub(p.tunnel.LastHandshake) < plan.HandshakeLifetime
}

// lastReceived returns when the last packet of the WireGuard session arrived; zero if there
// is no session.
func (p peer) lastReceived() time.Time {
	if last := p.tunnel.LastHandshake; last.IsZero() || last.After(p.session.LastPacket) {
		return last
	}
	return p.session.LastPacket
}

// turns counts the turns since the session went down, or since a session without a
// verdict began if there never was a handshake.
func turns(p peer, now time.Time) int {
	silent := p.state == undecided && !p.session.Since.IsZero() && p.tunnel.LastHandshake.IsZero()
	switch since := p.session.Since; {
	case p.state != down && !silent || now.Before(since):
		return 0
	case since.IsZero(): // never up, start not known
		return tunnelend.ClockTurns(now)
	case now.Sub(since) < shortTurns*shortTurn:
		return int(now.Sub(since) / shortTurn)
	default:
		return shortTurns + int((now.Sub(since)-shortTurns*shortTurn)/longTurn)
	}
}

// observations are the records to write to the catalog: the endpoint at which
// each peer that is up is observed. An advertised endpoint is recorded only to
// correct an earlier observation, and an observation that the catalog already
// has is not repeated; otherwise every pass would write.
func observations(in plan.Inputs, topo topology) []catalog.Observation {
	var out []catalog.Observation
	for _, p := range topo.peers() {
		seen := p.tunnel.Endpoint
		if p.state != up || !usableEndpoint(in, seen) {
			continue
		}
		seen = netip.AddrPortFrom(seen.Addr().Unmap(), seen.Port())
		recorded := topo.seen.Own(p.ID())
		if recorded == seen || !recorded.IsValid() && slices.Contains(advertised(in, topo, *p), seen) {
			continue
		}
		out = append(out, catalog.Observation{Observer: in.Self, Peer: p.ID(), Endpoint: seen, At: in.Now})
	}
	return out
}

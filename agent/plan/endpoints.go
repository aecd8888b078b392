package plan

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// rotationInterval is how long a candidate is tried: WireGuard repeats an
// unanswered handshake after 5 s (REKEY_TIMEOUT).
const rotationInterval = 5 * time.Second

// endpoint chooses the endpoint of a gateway; the zero AddrPort leaves it as it
// is. It keeps no state: the previous choice is in the data plane, and the time
// determines the candidate whose turn it is.
//
//	the peer is  data plane has   choice
//	live         an endpoint      as it is: WireGuard has it from an authentic packet
//	anything     nothing          the first candidate
//	undecided    an endpoint      as it is while it is a candidate
//	down         an endpoint      for 5 s as it is while it is a candidate, then
//	                              the candidates in turn, 5 s each
//
// An endpoint that is no longer a candidate (the peer restarted elsewhere and
// the catalog has its new endpoints) is given up at once.
func endpoint(in Inputs, topo topology, p peer) netip.AddrPort {
	current := p.tunnel.Endpoint
	if current.IsValid() && p.live(in.Now) {
		return netip.AddrPort{}
	}
	list := candidates(in, topo, p)
	if len(list) == 0 {
		return netip.AddrPort{}
	}
	turn := rotations(p, in.Now)
	if current.IsValid() && turn == 0 && (slices.Contains(list, current) || current == ownObservation(in, p).Endpoint) {
		return netip.AddrPort{}
	}
	if !current.IsValid() {
		turn = 0
	}
	return list[turn%len(list)]
}

// silenceLimit is how long WireGuard waits for an answer before it starts a new
// handshake (KEEPALIVE_TIMEOUT + REKEY_TIMEOUT, WireGuard paper, §6.5).
const silenceLimit = 15 * time.Second

// live reports whether the peer is at the endpoint in the data plane: WireGuard
// follows the source of each authentic packet. A session that is down is not
// sufficient to give the endpoint up: while packets of the peer arrive, it is the
// only one that is known to work, at least in one direction.
func (p peer) live(now time.Time) bool {
	if p.usable(now) || p.state == drained {
		return true
	}
	heard := p.tunnel.LastHandshake
	if heard.IsZero() || now.Sub(heard) >= handshakeLifetime {
		return false
	}
	if p.session.LastPacket.After(heard) {
		heard = p.session.LastPacket
	}
	return p.state == down && heard.After(p.session.Since) && now.Sub(heard) < silenceLimit
}

// rotations counts the rotation intervals since the session went down.
func rotations(p peer, now time.Time) int {
	if p.state != down || now.Before(p.session.Since) {
		return 0
	}
	if p.session.Since.IsZero() {
		return clockRotations(now) // never up, start not known
	}
	return int(now.Sub(p.session.Since) / rotationInterval)
}

// clockRotations counts the rotation intervals since 1970.
func clockRotations(now time.Time) int { return int(now.Unix() / int64(rotationInterval/time.Second)) }

// candidates are the endpoints of a gateway that are worth trying, best first:
// those that it advertises, then those at which others observe it. Families of
// which this host has an address come first.
func candidates(in Inputs, topo topology, p peer) []netip.AddrPort {
	list := append(advertised(in, topo, p), observedByOthers(in, topo, p)...)
	list = slices.DeleteFunc(list, func(e netip.AddrPort) bool { return !usableEndpoint(in, e) })
	slices.SortStableFunc(list, func(a, b netip.AddrPort) int {
		return cmp.Compare(unroutable(in.Host, a.Addr()), unroutable(in.Host, b.Addr()))
	})
	return deduplicate(list)
}

// advertised returns the advertised endpoints of a gateway with the port that
// this gateway sends to. They are advertised with the port of lane 0; on the
// peer's side, this gateway is in the lane of its own index.
func advertised(in Inputs, topo topology, p peer) []netip.AddrPort {
	var out []netip.AddrPort
	for _, e := range in.Endpoints[p.ID()] {
		if port := uint32(e.Port()) + topo.self.Index; port <= 65535 {
			out = append(out, netip.AddrPortFrom(e.Addr().Unmap(), uint16(port)))
		}
	}
	return out
}

// observedByOthers returns the endpoints at which others observe a gateway. An
// observer with our index sees the same socket that we need, including the port
// that a NAT assigned to it. Another observer sees the socket of its own lane;
// unless a NAT translated that port, ours differs from it by the difference of
// the indices.
func observedByOthers(in Inputs, topo topology, p peer) []netip.AddrPort {
	var out []netip.AddrPort
	for _, o := range sortedObservations(in.Catalog.Observations) {
		if o.Peer != p.ID() || o.Observer == in.Self {
			continue
		}
		i := slices.IndexFunc(in.Catalog.Gateways, func(g catalog.Gateway) bool { return g.ID() == o.Observer })
		if i < 0 {
			continue // the observer has left; its observation may be obsolete
		}
		seen := netip.AddrPortFrom(o.Endpoint.Addr().Unmap(), o.Endpoint.Port())
		theirs := in.Catalog.Gateways[i].Index
		if theirs == topo.self.Index {
			out = append(out, seen)
			continue
		}
		translated := !slices.ContainsFunc(in.Endpoints[p.ID()], func(e netip.AddrPort) bool {
			return uint32(e.Port())+theirs == uint32(seen.Port())
		})
		if port := uint32(seen.Port()) - theirs + topo.self.Index; !translated && port <= 65535 {
			out = append(out, netip.AddrPortFrom(seen.Addr(), uint16(port)))
		}
	}
	return out
}

// usableEndpoint reports whether e can be an endpoint. One in the overlay
// would route the tunnel's packets through the tunnel.
func usableEndpoint(in Inputs, e netip.AddrPort) bool {
	a := e.Addr()
	return e.IsValid() && e.Port() != 0 && !a.IsUnspecified() && !a.IsMulticast() &&
		!in.Catalog.Federation.Overlay.Contains(a)
}

// unroutable returns 1 if this host has no address of the family of a, else 0.
func unroutable(h Host, a netip.Addr) int {
	for _, own := range h.Addresses {
		own = own.Unmap()
		if own.Is4() == a.Is4() && !own.IsLoopback() && !own.IsLinkLocalUnicast() {
			return 0
		}
	}
	return 1
}

// observations are the records to write to the catalog: the endpoint at which
// each peer that is up is observed. An advertised endpoint is recorded only to
// correct an earlier observation, and an observation that the catalog already
// has is not repeated; otherwise every pass would write.
func observations(in Inputs, topo topology) []catalog.Observation {
	var out []catalog.Observation
	for _, p := range topo.peers() {
		seen := p.tunnel.Endpoint
		if p.state != up || !usableEndpoint(in, seen) {
			continue
		}
		seen = netip.AddrPortFrom(seen.Addr().Unmap(), seen.Port())
		recorded := ownObservation(in, p).Endpoint
		if recorded == seen || !recorded.IsValid() && slices.Contains(advertised(in, topo, p), seen) {
			continue
		}
		out = append(out, catalog.Observation{Observer: in.Self, Peer: p.ID(), Endpoint: seen, At: in.Now})
	}
	return out
}

// ownObservation returns this gateway's observation of a peer in the catalog,
// or the zero Observation.
func ownObservation(in Inputs, p peer) catalog.Observation {
	for _, o := range in.Catalog.Observations {
		if o.Observer == in.Self && o.Peer == p.ID() {
			return o
		}
	}
	return catalog.Observation{}
}

func sortedObservations(in []catalog.Observation) []catalog.Observation {
	return slices.SortedFunc(slices.Values(in), func(a, b catalog.Observation) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Observer, b.Observer), cmp.Compare(a.Peer, b.Peer))
	})
}

// deduplicate keeps the first of equal endpoints.
func deduplicate(in []netip.AddrPort) []netip.AddrPort {
	var out []netip.AddrPort
	for _, e := range in {
		if !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	return out
}

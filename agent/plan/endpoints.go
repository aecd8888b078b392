package plan

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// rotationInterval is how long a candidate is tried: WireGuard repeats a handshake
// that was not answered after 5 s (REKEY_TIMEOUT).
const rotationInterval = 5 * time.Second

// endpoint chooses where to send to a gateway. It needs no memory of its own:
// what was chosen before is what the data plane has, and the time says whose
// turn it is.
//
//	the peer     data plane has   choice
//	carries      an endpoint      that one: WireGuard knows better than any list
//	is anything  nothing          the first candidate
//	is young     an endpoint      that one while it is a candidate
//	is down      an endpoint      for 5 s that one while it is a candidate, then
//	                              the candidates in turn, 5 s each
//
// An endpoint that is no candidate any more (the peer restarted elsewhere and
// the catalog knows it) is given up at once.
func endpoint(in Inputs, topo topology, p peer) netip.AddrPort {
	have := p.tunnel.Endpoint
	if have.IsValid() && p.usable(in.Now) {
		return have
	}
	list := candidates(in, topo, p)
	if len(list) == 0 {
		return have
	}
	turn := rotations(p, in.Now)
	if have.IsValid() && turn == 0 && (slices.Contains(list, have) || have == ownObservation(in, p).Endpoint) {
		return have
	}
	if !have.IsValid() {
		turn = 0
	}
	return list[turn%len(list)]
}

// rotations counts the rotations since the session went down.
func rotations(p peer, now time.Time) int {
	if p.state != down || now.Before(p.session.Since) {
		return 0
	}
	if p.session.Since.IsZero() {
		return int(now.Unix() / int64(rotationInterval/time.Second)) // never up, start not known: any steady pace will do
	}
	return int(now.Sub(p.session.Since) / rotationInterval)
}

// candidates are the endpoints of a gateway worth trying, best first: what it
// advertises, then what others see. Families that this host has come first.
func candidates(in Inputs, topo topology, p peer) []netip.AddrPort {
	list := append(advertised(in, topo, p), observedByOthers(in, topo, p)...)
	list = slices.DeleteFunc(list, func(e netip.AddrPort) bool { return !usableEndpoint(in, e) })
	slices.SortStableFunc(list, func(a, b netip.AddrPort) int {
		return cmp.Compare(unroutable(in.Host, a.Addr()), unroutable(in.Host, b.Addr()))
	})
	return deduplicate(list)
}

// advertised endpoints carry the port of lane 0. Over there we are in the
// lane of our own index.
func advertised(in Inputs, topo topology, p peer) []netip.AddrPort {
	var out []netip.AddrPort
	for _, e := range in.Endpoints[p.ID()] {
		if port := uint32(e.Port()) + topo.self.Index; port <= 65535 {
			out = append(out, netip.AddrPortFrom(e.Addr().Unmap(), uint16(port)))
		}
	}
	return out
}

// observedByOthers are the endpoints under which others see a gateway. An
// observer of our own index sees the very socket that we need, hence also the
// port that a NAT gave it. Another observer sees a socket beside it; unless
// the port was translated, ours is as far away as our indices are.
func observedByOthers(in Inputs, topo topology, p peer) []netip.AddrPort {
	var out []netip.AddrPort
	for _, o := range sortedObservations(in.Catalog.Observations) {
		if o.Peer != p.ID() || o.Observer == in.Self {
			continue
		}
		i := slices.IndexFunc(in.Catalog.Gateways, func(g catalog.Gateway) bool { return g.ID() == o.Observer })
		if i < 0 {
			continue // it left; what it saw may be gone too
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

// usableEndpoint excludes what cannot be an endpoint. One in the overlay would send
// the tunnel's packets through the tunnel.
func usableEndpoint(in Inputs, e netip.AddrPort) bool {
	a := e.Addr()
	return e.IsValid() && e.Port() != 0 && !a.IsUnspecified() && !a.IsMulticast() &&
		!in.Catalog.Federation.Overlay.Contains(a)
}

// unroutable is 1 for an address of a family that this host has no address of.
func unroutable(h Host, a netip.Addr) int {
	for _, own := range h.Addresses {
		own = own.Unmap()
		if own.Is4() == a.Is4() && !own.IsLoopback() && !own.IsLinkLocalUnicast() {
			return 0
		}
	}
	return 1
}

// observations are what the catalog should learn: under which endpoint we see
// each peer that answers. Nothing is said that the catalog has already, nor
// what the peer says itself; else every pass would write. An observation of
// ours that is no longer true is corrected even by an advertised endpoint.
func observations(in Inputs, topo topology) []catalog.Observation {
	var out []catalog.Observation
	for _, p := range topo.peers() {
		seen := p.tunnel.Endpoint
		if p.state != up || !usableEndpoint(in, seen) {
			continue
		}
		seen = netip.AddrPortFrom(seen.Addr().Unmap(), seen.Port())
		before := ownObservation(in, p)
		told := before.Endpoint.IsValid()
		if before.Endpoint == seen || !told && slices.Contains(advertised(in, topo, p), seen) {
			continue
		}
		out = append(out, catalog.Observation{Observer: in.Self, Peer: p.ID(), Endpoint: seen, At: in.Now})
	}
	return out
}

// ownObservation is what the catalog has from us of a gateway.
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

// deduplicate keeps the first of each.
func deduplicate(in []netip.AddrPort) []netip.AddrPort {
	var out []netip.AddrPort
	for _, e := range in {
		if !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	return out
}

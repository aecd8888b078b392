// Package sighting finds out of the observations in the catalog at which endpoints
// each gateway can be reached.
package sighting

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
)

// Most bounds the endpoints of a gateway: behind a router that assigns a port for each
// destination, every observer sees another one.
const Most = 4

// kept is how many sightings of a gateway are kept: some show the same endpoint, and the
// host of the reader may have addresses of one family only.
const kept = 4 * Most

// Sightings are the endpoints at which gateways were seen. It takes one pass over the
// observations, of which there is one for each pair of gateways.
type Sightings struct {
	own map[catalog.GatewayID]netip.AddrPort
	of  map[catalog.GatewayID][]sighting
}

// sighting is the newest one of an address family by the gateways of a datacenter. Only
// one of each counts: the observers state endpoint and time, and those of one datacenter
// must not displace what all others see.
type sighting struct {
	endpoint netip.AddrPort
	from     *catalog.Observation
	by       catalog.DatacenterName // of the observer
}

// newer orders the newest first, then by observer.
func (s sighting) newer(o sighting) int {
	return cmp.Or(o.from.At.Compare(s.from.At), cmp.Compare(s.from.Observer, o.from.Observer))
}

// View is what observations are read from the perspective of.
type View struct {
	Self       catalog.Gateway
	Gateways   []catalog.Gateway                      // observers; what others saw may be obsolete
	Advertised map[catalog.GatewayID][]netip.AddrPort // with the ports of lane 0
}

// Find returns what the observations show to a gateway.
func Find(v View, observations []catalog.Observation) Sightings {
	s := Sightings{own: map[catalog.GatewayID]netip.AddrPort{}, of: make(map[catalog.GatewayID][]sighting, len(v.Gateways))}
	self, lanes := v.Self.ID(), make(map[catalog.GatewayID]uint32, len(v.Gateways))
	for _, g := range v.Gateways {
		lanes[g.ID()] = g.Index
	}
	for i := range observations {
		o := &observations[i]
		if o.Observer == self {
			if _, known := s.own[o.Peer]; !known {
				s.own[o.Peer] = o.Endpoint
			}
			continue
		}
		lane, member := lanes[o.Observer]
		if !member {
			continue
		}
		if e := v.endpoint(o, lane); e.IsValid() {
			s.add(o.Peer, sighting{e, o, o.Observer.Datacenter()})
		}
	}
	return s
}

// sameSource reports whether only one of two sightings counts.
func (s sighting) sameSource(o sighting) bool {
	return s.by == o.by && s.endpoint.Addr().Is4() == o.endpoint.Addr().Is4()
}

// add keeps the newest sighting of each datacenter and family, and the newest of these, in
// their order.
func (s Sightings) add(peer catalog.GatewayID, seen sighting) {
	list := s.of[peer]
	if len(list) == kept && list[kept-1].newer(seen) <= 0 {
		return // so is one of the same source, if there is one
	}
	if i := slices.IndexFunc(list, seen.sameSource); i >= 0 {
		if list[i].newer(seen) <= 0 {
			return
		}
		list = slices.Delete(list, i, i+1)
	}
	at, _ := slices.BinarySearchFunc(list, seen, sighting.newer)
	list = slices.Insert(list[:min(len(list), kept-1)], min(at, kept-1), seen)
	s.of[peer] = list
}

// endpoint returns the endpoint of a gateway that follows from the observation of
// another one; zero if none does. An observer with our index sees the same socket
// that we need, including the port that a NAT assigned to it. Another observer sees
// the socket of its own lane; unless a NAT translated that port, ours differs from it
// by the difference of the indices.
func (v View) endpoint(o *catalog.Observation, lane uint32) netip.AddrPort {
	seen := netip.AddrPortFrom(o.Endpoint.Addr().Unmap(), o.Endpoint.Port())
	if lane == v.Self.Index {
		return seen
	}
	translated := !slices.ContainsFunc(v.Advertised[o.Peer], func(e netip.AddrPort) bool {
		return uint32(e.Port())+lane == uint32(seen.Port())
	})
	port := uint32(seen.Port()) - lane + v.Self.Index
	if translated || port > 65535 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(seen.Addr(), uint16(port))
}

// Own returns the endpoint at which the gateway itself sees a peer; zero if the
// catalog has none.
func (s Sightings) Own(peer catalog.GatewayID) netip.AddrPort { return s.own[peer] }

// Of returns the endpoints at which a peer was seen: last by the gateway itself, then
// by others, the newest ones first.
func (s Sightings) Of(peer catalog.GatewayID) []netip.AddrPort {
	var out []netip.AddrPort
	if own := s.own[peer]; own.IsValid() {
		out = append(out, netip.AddrPortFrom(own.Addr().Unmap(), own.Port()))
	}
	for _, seen := range s.of[peer] {
		if len(out) < Most && !slices.Contains(out, seen.endpoint) {
			out = append(out, seen.endpoint)
		}
	}
	return out
}

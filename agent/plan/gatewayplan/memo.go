package gatewayplan

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan/acceptance"
	"github.com/meshway/meshway/agent/plan/prefixset"
	"github.com/meshway/meshway/agent/plan/routing"
	"github.com/meshway/meshway/agent/plan/sighting"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// Memo has the parts of a plan that depend on the catalog and take most of its time, each
// with what it follows from. The next plan takes a part from it if that is equal, so that a
// change costs what it changes, and what is equal is the same list for the appliers. The
// zero value has none. A memo is not modified, and neither are the inputs of its plan.
type Memo struct {
	decision *acceptance.Decision
	seen     *sightings
	sources  *sources
	routes   *routeList
}

// sightings are those of observations.
type sightings struct {
	view         sighting.View
	observations []catalog.Observation
	found        sighting.Sightings
}

// find returns the sightings of observations: s if they follow from the same.
func (s *sightings) find(v sighting.View, observations []catalog.Observation) *sightings {
	if s != nil && sameGateway(s.view.Self, v.Self) && slices.EqualFunc(s.view.Gateways, v.Gateways, sameGateway) &&
		maps.EqualFunc(s.view.Advertised, v.Advertised, slices.Equal) && equal(s.observations, observations) {
		return s
	}
	return &sightings{v, observations, sighting.Find(v, observations)}
}

// equal reports whether two lists are equal. Without a change of the catalog, they are the
// same list.
func equal(a, b []catalog.Observation) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b))
}

// sameGateway reports whether two records are the same to sightings.
func sameGateway(a, b catalog.Gateway) bool {
	return a.Datacenter == b.Datacenter && a.Name == b.Name && a.Index == b.Index
}

// sources are the addresses from which the lanes accept packets.
type sources struct {
	decision *acceptance.Decision
	peers    []source

	lanes  [][]netip.Prefix // of each lane, aggregated
	remote []netip.Prefix   // of all other datacenters, and the overlay, aggregated
}

// source is a gateway of a datacenter.
type source struct {
	owner   int // see acceptance.Claim
	lane    uint32
	overlay netip.Addr
}

// of returns the sources of a topology: s if they follow from the same.
func (s *sources) of(topo topology) *sources {
	next := &sources{decision: topo.decision, peers: make([]source, 0, 2*len(topo.others))}
	for i, dc := range topo.others {
		for _, p := range dc.gateways {
			next.peers = append(next.peers, source{i, p.Index, p.Overlay})
		}
	}
	if s != nil && s.decision == next.decision && slices.Equal(s.peers, next.peers) {
		return s
	}
	for n := range topo.lanes() {
		next.lanes = append(next.lanes, topo.remoteOnly(next.ofLane(n)))
	}
	next.remote = topo.remoteOnly(topo.decision.Used)
	return next
}

// ofLane returns what the gateways of a lane may send from, aggregated.
func (s *sources) ofLane(n uint32) []netip.Prefix {
	connected, out := map[int]bool{}, make([]netip.Prefix, 0, len(s.decision.Sorted)+len(s.peers))
	for _, p := range s.peers {
		if p.lane == n {
			connected[p.owner] = true
		}
	}
	for _, c := range s.decision.Sorted {
		if connected[c.Owner] {
			out = append(out, c.Prefix)
		}
	}
	for _, p := range s.peers {
		if p.lane == n {
			out = append(out, prefixset.Host(p.overlay))
		}
	}
	return prefixset.AggregateMasked(out)
}

// routeWays is what the routes of a gateway follow from.
type routeWays struct {
	decision *acceptance.Decision
	guarded  []netip.Prefix
	v4, v6   familyWays
	more     []routes.Route // that are not to prefixes of datacenters, sorted
}

// familyWays are the ways to the prefixes of one family.
type familyWays struct {
	source  netip.Addr
	standby uint32   // the nexthop of standby routes; 0: none
	groups  []uint32 // the nexthop of each datacenter, by its number
	mtus    []int    // likewise
}

func (w *routeWays) set(f routes.Family, way familyWays) {
	if f == routes.IPv4 {
		w.v4 = way
	} else {
		w.v6 = way
	}
}

func (w familyWays) equal(o familyWays) bool {
	return w.source == o.source && w.standby == o.standby && slices.Equal(w.groups, o.groups) && slices.Equal(w.mtus, o.mtus)
}

func (w *routeWays) equal(o *routeWays) bool {
	return w.decision == o.decision && slices.Equal(w.guarded, o.guarded) && w.v4.equal(o.v4) && w.v6.equal(o.v6) && slices.Equal(w.more, o.more)
}

// routeList is all routes of a gateway, sorted.
type routeList struct {
	ways routeWays
	all  []routes.Route
}

// of returns the routes that follow from ways: r if they are equal.
func (r *routeList) of(w routeWays) *routeList {
	if r != nil && r.ways.equal(&w) {
		return r
	}
	all := make([]routes.Route, 0, 2*len(w.decision.Sorted)+len(w.more)+len(w.guarded))
	rest := routeRest{w.more, w.guarded}
	for _, c := range w.decision.Sorted { // in the order of routes
		way := &w.v4
		if c.Prefix.Addr().Is6() {
			way = &w.v6
		}
		to := routes.Route{Prefix: c.Prefix, Nexthop: way.groups[c.Owner], Source: way.source, MTU: way.mtus[c.Owner]}
		if all = append(rest.before(all, to), to); way.standby != 0 {
			all = append(all, routes.Route{Prefix: c.Prefix, Kind: routes.Standby, Nexthop: way.standby, Source: way.source})
		}
	}
	return &routeList{w, append(all, routing.WithGuards(rest.more, rest.guarded)...)}
}

// routeRest is the routes that are not in the list yet, but those to datacenters.
type routeRest struct {
	more    []routes.Route
	guarded []netip.Prefix
}

// before appends those that precede a route to a list.
func (r *routeRest) before(list []routes.Route, next routes.Route) []routes.Route {
	for {
		more := len(r.more) > 0 && routes.CompareRoutes(r.more[0], next) < 0
		if len(r.guarded) > 0 {
			guard := routes.Route{Prefix: r.guarded[0], Kind: routes.Guard}
			if routes.CompareRoutes(guard, next) < 0 && (!more || routes.CompareRoutes(guard, r.more[0]) < 0) {
				list, r.guarded = append(list, guard), r.guarded[1:]
				continue
			}
		}
		if !more {
			return list
		}
		list, r.more = append(list, r.more[0]), r.more[1:]
	}
}

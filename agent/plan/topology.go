package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan/sighting"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// maxLanes bounds the number of interfaces that an invalid record can cause.
// The configuration reserves this many ports above wireguard.port, and one more
// for nodes.
const maxLanes = 63

// handshakeLifetime is how long WireGuard uses a session (REJECT_AFTER_TIME,
// WireGuard paper, §6.1). An older handshake is no evidence of a working tunnel.
const handshakeLifetime = 180 * time.Second

// topology is the validated catalog: sorted, without invalid records.
type topology struct {
	self   catalog.Gateway
	own    ownDatacenter
	others []remoteDatacenter // sorted by name
	nodes  []NodePeer         // of the own datacenter, behind tunnels, sorted by name
	local  []netip.Prefix     // ranges that stay local although a remote prefix overlaps them, aggregated

	remote    []netip.Prefix // of all other datacenters, and the overlay, aggregated
	siblings  []sibling      // by index
	seen      sighting.Sightings
	reach     map[routes.Family]int // see familiesOf
	addresses map[netip.Addr]bool   // of this host
}

// peer is a remote gateway with what is observed of it.
type peer struct {
	catalog.Gateway
	session Session             // of liveness; zero while there is none
	tunnel  tunnel.ObservedPeer // of the data plane; zero while there is none
	state   liveness

	candidates []netip.AddrPort // endpoints that are worth trying, best first
}

// liveness is the verdict on one remote gateway.
type liveness int

const (
	undecided liveness = iota // no session yet, or one too young for a verdict
	up
	down
	drained // takes no new traffic, although the path to it works
)

// newTopology validates the catalog. It fails only if the records of this
// gateway or of its datacenter are missing.
func newTopology(in Inputs, found *problems) (topology, bool) {
	topo, gateways, others, ok := identify(in, found)
	if !ok {
		return topo, false
	}
	topo.seen = sighting.Find(sighting.View{Self: topo.self, Gateways: gateways, Advertised: in.Endpoints}, in.Catalog.Observations)
	topo.reach, topo.addresses = familiesOf(in.Host, in.Site.Prefixes), map[netip.Addr]bool{}
	for _, a := range in.Host.Addresses {
		topo.addresses[a] = true
	}
	topo.own, topo.others, topo.local = acceptPrefixes(in.Catalog.Federation.Overlay, topo.own.Datacenter, others, localRangesOf(in), found)
	topo.remote = topo.remotePrefixes(in)
	addGateways(in, &topo, gateways, found)
	topo.nodes = acceptNodes(in, topo, found)
	resolvePodCIDRs(in, topo, found)
	return topo, true
}

// identify finds this gateway, its datacenter and its siblings, and returns all
// gateways and the other datacenters, sorted.
func identify(in Inputs, found *problems) (topo topology, gateways []catalog.Gateway, others []catalog.Datacenter, ok bool) {
	datacenters := sortedDatacenters(in.Catalog.Datacenters)
	gateways = sortedGateways(in.Catalog.Gateways)
	self := slices.IndexFunc(gateways, func(g catalog.Gateway) bool { return g.ID() == in.Self })
	if self < 0 || !gateways[self].Overlay.IsValid() {
		found.addError("not-in-catalog", gatewaySubject(in.Self),
			fmt.Sprintf("this gateway, %s, is not in the catalog; its tunnels and routes stay unchanged", in.Self),
			"run meshctl members in another datacenter; if they list this gateway, check that its control port is reachable there; a removal is reported as a problem of its own")
		return topo, nil, nil, false
	}
	topo.self = gateways[self]
	i := slices.IndexFunc(datacenters, func(d catalog.Datacenter) bool { return d.Name == topo.self.Datacenter })
	if i < 0 {
		found.addError("not-in-catalog", datacenterSubject(topo.self.Datacenter),
			fmt.Sprintf("datacenter %s of this gateway is not in the catalog; tunnels and routes stay unchanged", topo.self.Datacenter),
			"run meshctl members in another datacenter; if they list this datacenter, check that its control port is reachable there; a removal is reported as a problem of its own")
		return topo, nil, nil, false
	}
	topo.own.Datacenter, topo.siblings = datacenters[i], siblings(in, gateways)
	others = slices.DeleteFunc(datacenters, func(d catalog.Datacenter) bool { return d.Name == topo.self.Datacenter })
	// The catalog's key is the name, so a second record is invalid.
	return topo, gateways, slices.CompactFunc(others, func(a, b catalog.Datacenter) bool { return a.Name == b.Name }), true
}

// addGateways adds the gateways to their datacenters. Of two with the same
// key, overlay address or lane, the first by name wins.
func addGateways(in Inputs, topo *topology, gateways []catalog.Gateway, found *problems) {
	observed := newObserved(in)
	taken := map[any]catalog.GatewayID{topo.self.PublicKey: topo.self.ID(), topo.self.Overlay: topo.self.ID()}
	for _, g := range gateways {
		i, known := slices.BinarySearchFunc(topo.others, g.Datacenter, func(r remoteDatacenter, name catalog.DatacenterName) int {
			return cmp.Compare(r.name, name)
		})
		if !known {
			continue // of our own datacenter, or of one that is leaving
		}
		if reason := invalidReason(in, g, taken); reason != "" {
			found.addError("gateway-invalid", gatewaySubject(g.ID()),
				fmt.Sprintf("no tunnel is created to gateway %s: %s", g.ID(), reason),
				fmt.Sprintf("run meshctl leave in %s, or meshctl datacenter remove %s if it is lost, and let it join again", g.Datacenter, g.Datacenter))
			continue
		}
		p := observed.peer(in, g)
		p.candidates = candidates(in, *topo, p)
		topo.others[i].gateways = append(topo.others[i].gateways, p)
	}
	for _, dc := range topo.others {
		slices.SortFunc(dc.gateways, func(a, b peer) int { return cmp.Compare(a.Index, b.Index) })
	}
}

// laneKey identifies the lane that a gateway occupies in its datacenter.
type laneKey struct {
	datacenter catalog.DatacenterName
	index      uint32
}

// invalidReason returns why a gateway can have no tunnel, or the empty string.
// It records the key, address and lane of a valid gateway in taken.
func invalidReason(in Inputs, g catalog.Gateway, taken map[any]catalog.GatewayID) string {
	switch {
	case g.PublicKey == catalog.Key{}:
		return "it has no public key"
	case !g.Overlay.IsValid() || !in.Catalog.Federation.Overlay.Contains(g.Overlay):
		return fmt.Sprintf("its overlay address %v is not in %v", g.Overlay, in.Catalog.Federation.Overlay)
	case g.Index >= maxLanes:
		return fmt.Sprintf("its index %d is greater than %d", g.Index, maxLanes-1)
	case int(in.Config.WireGuard.Port)+int(g.Index) > 65535:
		return fmt.Sprintf("there is no UDP port for its lane %d above %d; lower wireguard.port", g.Index, in.Config.WireGuard.Port)
	}
	keys := []any{g.PublicKey, g.Overlay, laneKey{g.Datacenter, g.Index}}
	for i, what := range []string{"public key", "overlay address", "index"} {
		if other, ok := taken[keys[i]]; ok {
			return fmt.Sprintf("%s has the same %s", other, what)
		}
	}
	for _, k := range keys {
		taken[k] = g.ID()
	}
	return ""
}

// observed finds what the data plane and liveness report of a gateway.
type observed struct {
	sessions map[catalog.GatewayID]Session
	peers    map[deviceKey]*tunnel.ObservedPeer
}

// deviceKey identifies a peer in an interface.
type deviceKey struct {
	device string
	key    tunnel.PublicKey
}

func newObserved(in Inputs) observed {
	o := observed{sessions: map[catalog.GatewayID]Session{}, peers: map[deviceKey]*tunnel.ObservedPeer{}}
	for _, s := range in.Observed.Sessions {
		o.sessions[s.Gateway] = s
	}
	for _, t := range in.Observed.Tunnels {
		for i := range t.Peers {
			o.peers[deviceKey{t.Name, t.Peers[i].PublicKey}] = &t.Peers[i]
		}
	}
	return o
}

// peer returns a gateway with its liveness and its state in the data plane.
func (o observed) peer(in Inputs, g catalog.Gateway) peer {
	p := peer{Gateway: g, tunnel: o.tunnel(in, g)}
	s, ok := o.sessions[g.ID()]
	p.session = s
	switch {
	case !ok:
	case s.Up:
		p.state = up
	case s.Draining:
		p.state = drained
	case !s.Undecided:
		p.state = down
	}
	return p
}

// tunnel returns a gateway's state in the data plane, in its lane.
func (o observed) tunnel(in Inputs, g catalog.Gateway) tunnel.ObservedPeer {
	if p := o.peers[deviceKey{LaneDevice(in.Config, g.Index), tunnel.PublicKey(g.PublicKey)}]; p != nil {
		return *p
	}
	return tunnel.ObservedPeer{}
}

// usable reports whether traffic may be sent to a gateway. While its liveness
// session has no verdict, a live WireGuard session is sufficient: an agent that
// restarts must not withdraw tunnels that work.
func (p peer) usable(now time.Time) bool {
	switch p.state {
	case up:
		return true
	case undecided:
		last := p.tunnel.LastHandshake
		return !last.IsZero() && now.Sub(last) < handshakeLifetime
	default:
		return false
	}
}

// LaneDevice returns the interface name of a lane.
func LaneDevice(cfg config.Config, lane uint32) string {
	return fmt.Sprintf("%s%d", cfg.WireGuard.Interface, lane)
}

// peers returns all remote gateways, by datacenter and index.
func (topo topology) peers() []*peer {
	out := make([]*peer, 0, 2*len(topo.others))
	for _, dc := range topo.others {
		for i := range dc.gateways {
			out = append(out, &dc.gateways[i])
		}
	}
	return out
}

// lanes returns the number of interfaces to other datacenters. Lane 0 always
// exists, because it has the overlay address at which peers reach this gateway.
func (topo topology) lanes() uint32 {
	n := uint32(1)
	for _, p := range topo.peers() {
		n = max(n, p.Index+1)
	}
	return n
}

// families returns the address families in which there is something to route.
func (topo topology) families() []routes.Family {
	used := map[routes.Family]bool{routes.FamilyOf(topo.self.Overlay): true}
	for _, p := range topo.own.accepted {
		used[routes.FamilyOf(p.Addr())] = true
	}
	for _, dc := range topo.others {
		for _, p := range dc.prefixes {
			used[routes.FamilyOf(p.Addr())] = true
		}
	}
	// Both ends of a tunnel to a node have addresses of both families.
	return slices.DeleteFunc(families(), func(f routes.Family) bool { return !used[f] && len(topo.nodes) == 0 })
}

func families() []routes.Family { return []routes.Family{routes.IPv4, routes.IPv6} }

// sourceAddress returns the address from which this gateway itself sends to
// other datacenters: its address in a pod or node prefix of its datacenter, or
// else its overlay address.
func (topo topology) sourceAddress(h Host, f routes.Family) netip.Addr {
	a := topo.own.sourceAddress(h, f)
	if !a.IsValid() && routes.FamilyOf(topo.self.Overlay) == f {
		return topo.self.Overlay
	}
	return a
}

func sortedDatacenters(in []catalog.Datacenter) []catalog.Datacenter {
	return slices.SortedFunc(slices.Values(in), func(a, b catalog.Datacenter) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Ordinal, b.Ordinal))
	})
}

func sortedGateways(in []catalog.Gateway) []catalog.Gateway {
	return slices.SortedFunc(slices.Values(in), func(a, b catalog.Gateway) int { return cmp.Compare(a.ID(), b.ID()) })
}

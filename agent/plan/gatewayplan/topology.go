package gatewayplan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/acceptance"
	"github.com/meshway/meshway/agent/plan/routing"
	"github.com/meshway/meshway/agent/plan/sighting"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// topology is the validated catalog: sorted, without invalid records.
type topology struct {
	self   catalog.Gateway
	own    acceptance.Own
	others []remoteDatacenter // sorted by name
	nodes  []plan.NodePeer    // of the own datacenter, behind tunnels, sorted by name

	decision  *acceptance.Decision // which prefixes are used; of others in their order
	withdrawn []netip.Prefix       // guarded like those, and not routed; they overlap neither those nor the own ones
	siblings  []sibling            // by index
	seen      sighting.Sightings
	reach     map[routes.Family]int // see plan.FamiliesOf
	addresses map[netip.Addr]bool   // of this host
}

// remoteDatacenter is another datacenter with its gateways.
type remoteDatacenter struct {
	acceptance.Remote
	gateways []peer // sorted by index
}

// peer is a remote gateway with what is observed of it.
type peer struct {
	catalog.Gateway
	id      catalog.GatewayID
	session plan.Session        // of liveness; zero while there is none
	tunnel  tunnel.ObservedPeer // of the data plane; zero while there is none
	arrival plan.Arrival        // of packets; zero: none yet
	state   liveness

	candidates []netip.AddrPort // endpoints that are worth trying, best first
}

// ID returns the ID of the gateway.
func (p peer) ID() catalog.GatewayID { return p.id }

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
func newTopology(in plan.Inputs, m *Memo, found *plan.Problems) (topology, bool) {
	topo, gateways, others, ok := identify(in, found)
	if !ok {
		return topo, false
	}
	m.seen = m.seen.find(sighting.View{Self: topo.self, Gateways: gateways, Advertised: in.Endpoints}, in.Catalog.Observations)
	topo.seen = m.seen.found
	topo.reach, topo.addresses = plan.FamiliesOf(in.Host, in.Site.Prefixes), map[netip.Addr]bool{}
	for _, a := range in.Host.Addresses {
		topo.addresses[a] = true
	}
	host := localRangesOf(in)
	m.decision = acceptance.Decide(m.decision, in.Catalog.Federation.Overlay, topo.own.Datacenter, others, host)
	topo.decision, topo.own.Accepted = m.decision, m.decision.Accepted
	*found = append(*found, topo.decision.Problems...)
	for _, r := range topo.decision.Remotes {
		topo.others = append(topo.others, remoteDatacenter{Remote: r})
	}
	topo.withdrawn = host.Withdrawn(in.Withdrawn, topo.decision.Used, topo.own.Accepted)
	addGateways(in, &topo, gateways, found)
	topo.nodes = acceptNodes(in, topo, found)
	resolvePodCIDRs(in, topo, found)
	return topo, true
}

// identify finds this gateway, its datacenter and its siblings, and returns all
// gateways and the other datacenters, sorted.
func identify(in plan.Inputs, found *plan.Problems) (topo topology, gateways []catalog.Gateway, others []catalog.Datacenter, ok bool) {
	datacenters := acceptance.SortedDatacenters(in.Catalog.Datacenters)
	gateways = sortedGateways(in.Catalog.Gateways)
	self := slices.IndexFunc(gateways, func(g catalog.Gateway) bool { return g.ID() == in.Self })
	if self < 0 || !gateways[self].Overlay.IsValid() {
		found.AddError("not-in-catalog", plan.GatewaySubject(in.Self),
			fmt.Sprintf("gateway %s is not in the catalog; its tunnels and routes stay unchanged", in.Self),
			"run meshctl members in another datacenter; if they list this gateway, check that its control port is reachable there; a removal is reported as a problem of its own")
		return topo, nil, nil, false
	}
	topo.self = gateways[self]
	i := slices.IndexFunc(datacenters, func(d catalog.Datacenter) bool { return d.Name == topo.self.Datacenter })
	if i < 0 {
		found.AddError("not-in-catalog", plan.DatacenterSubject(topo.self.Datacenter),
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
func addGateways(in plan.Inputs, topo *topology, gateways []catalog.Gateway, found *plan.Problems) {
	observed := newObserved(in)
	taken := map[any]catalog.GatewayID{topo.self.PublicKey: topo.self.ID(), topo.self.Overlay: topo.self.ID()}
	for _, g := range gateways {
		i, known := slices.BinarySearchFunc(topo.others, g.Datacenter, func(r remoteDatacenter, name catalog.DatacenterName) int {
			return cmp.Compare(r.Name, name)
		})
		if !known {
			continue // of our own datacenter, or of one that is leaving
		}
		if reason := invalidReason(in, g, taken); reason != "" {
			found.AddError("gateway-invalid", plan.GatewaySubject(g.ID()),
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
func invalidReason(in plan.Inputs, g catalog.Gateway, taken map[any]catalog.GatewayID) string {
	switch {
	case g.PublicKey == catalog.Key{}:
		return "it has no public key"
	case !g.Overlay.IsValid() || !in.Catalog.Federation.Overlay.Contains(g.Overlay):
		return fmt.Sprintf("its overlay address %v is not in %v", g.Overlay, in.Catalog.Federation.Overlay)
	case g.Index >= plan.MaxLanes:
		return fmt.Sprintf("its index %d is greater than %d", g.Index, plan.MaxLanes-1)
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
	sessions map[catalog.GatewayID]plan.Session
	arrivals map[tunnel.PublicKey]plan.Arrival
	peers    map[deviceKey]*tunnel.ObservedPeer
}

// deviceKey identifies a peer in an interface.
type deviceKey struct {
	device string
	key    tunnel.PublicKey
}

func newObserved(in plan.Inputs) observed {
	o := observed{
		sessions: map[catalog.GatewayID]plan.Session{},
		arrivals: in.Observed.Arrivals,
		peers:    map[deviceKey]*tunnel.ObservedPeer{},
	}
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
func (o observed) peer(in plan.Inputs, g catalog.Gateway) peer {
	p := peer{Gateway: g, id: g.ID(), tunnel: o.tunnel(in, g), arrival: o.arrivals[tunnel.PublicKey(g.PublicKey)]}
	s, ok := o.sessions[p.id]
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
func (o observed) tunnel(in plan.Inputs, g catalog.Gateway) tunnel.ObservedPeer {
	if p := o.peers[deviceKey{plan.LaneDevice(in.Config, g.Index), tunnel.PublicKey(g.PublicKey)}]; p != nil {
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
		return !last.IsZero() && now.Sub(last) < plan.HandshakeLifetime
	default:
		return false
	}
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
	for _, p := range topo.own.Accepted {
		used[routes.FamilyOf(p.Addr())] = true
	}
	for _, dc := range topo.others {
		for _, f := range routing.Families() {
			used[f] = used[f] || dc.Has(f)
		}
	}
	for _, p := range topo.withdrawn {
		used[routes.FamilyOf(p.Addr())] = true
	}
	// Both ends of a tunnel to a node have addresses of both families.
	return slices.DeleteFunc(routing.Families(), func(f routes.Family) bool { return !used[f] && len(topo.nodes) == 0 })
}

// sourceAddress returns the address from which this gateway itself sends to
// other datacenters: its address in a pod or node prefix of its datacenter, or
// else its overlay address.
func (topo topology) sourceAddress(h plan.Host, f routes.Family) netip.Addr {
	a := topo.own.SourceAddress(h, f)
	if !a.IsValid() && routes.FamilyOf(topo.self.Overlay) == f {
		return topo.self.Overlay
	}
	return a
}

func sortedGateways(in []catalog.Gateway) []catalog.Gateway {
	type identified struct {
		id catalog.GatewayID
		at int
	}
	order := make([]identified, 0, len(in))
	for i, g := range in {
		order = append(order, identified{g.ID(), i})
	}
	slices.SortFunc(order, func(a, b identified) int { return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.at, b.at)) })
	out := make([]catalog.Gateway, 0, len(in))
	for _, o := range order {
		out = append(out, in[o.at])
	}
	return out
}

package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/tunnel"
)

// maxLanes bounds the interfaces that a bad record could make us create. The
// configuration leaves as many ports above wireguard.port, and one more.
const maxLanes = 63

// handshakeLifetime is how long WireGuard uses a session (REJECT_AFTER_TIME of
// the WireGuard paper, §6.1). An older handshake says nothing.
const handshakeLifetime = 180 * time.Second

// topology is the catalog after judgement: sorted, and without the records
// that cannot be right.
type topology struct {
	self   catalog.Gateway
	own    catalog.Datacenter
	local  []netip.Prefix     // of the own datacenter, sorted
	others []remoteDatacenter // sorted by name
	nodes  []NodePeer         // of the own datacenter, behind tunnels, sorted by name
}

// remoteDatacenter is another datacenter.
type remoteDatacenter struct {
	name     catalog.DatacenterName
	ordinal  uint32
	prefixes []netip.Prefix // accepted ones, sorted
	gateways []peer         // sorted by index
}

// peer is a remote gateway with what is known of the way to it.
type peer struct {
	catalog.Gateway
	session Session             // of liveness; zero while there is none
	tunnel  tunnel.ObservedPeer // of the data plane; zero while there is none
	state   liveness
}

// liveness is the verdict on one remote gateway.
type liveness int

const (
	undecided liveness = iota // no session yet, or too young to have a verdict
	up
	down
	drained // it is not to be sent to, though the way to it works
)

// newTopology judges the catalog. It fails only when our own records are missing.
func newTopology(in Inputs, found *problems) (topology, bool) {
	var topo topology
	datacenters := sortedDatacenters(in.Catalog.Datacenters)
	gateways := sortedGateways(in.Catalog.Gateways)
	self := slices.IndexFunc(gateways, func(g catalog.Gateway) bool { return g.ID() == in.Self })
	if self < 0 || !gateways[self].Overlay.IsValid() {
		found.add(Problem{
			"not-in-catalog", Error, gatewayName(in.Self),
			"this gateway is not in the catalog; everything stays as it is",
			"look at meshctl members in another datacenter; if this gateway was removed there, run meshctl leave --force here and join again",
		})
		return topo, false
	}
	topo.self = gateways[self]
	own := slices.IndexFunc(datacenters, func(d catalog.Datacenter) bool { return d.Name == topo.self.Datacenter })
	if own < 0 {
		found.add(Problem{
			"not-in-catalog", Error, datacenterName(topo.self.Datacenter),
			"this gateway's datacenter is not in the catalog; everything stays as it is",
			"look at meshctl members in another datacenter; if this datacenter was removed there, run meshctl leave --force here and join again",
		})
		return topo, false
	}
	topo.own = datacenters[own]
	others := slices.DeleteFunc(datacenters, func(d catalog.Datacenter) bool { return d.Name == topo.own.Name })
	topo.local, topo.others = acceptPrefixes(in, topo.own, others, found)
	addGateways(in, &topo, gateways, found)
	topo.nodes = acceptNodes(in, topo, found)
	resolvePodCIDRs(in, topo, found)
	return topo, true
}

// addGateways hands the gateways to their datacenters. Of two that claim the
// same key, overlay address or lane, the first by name wins.
func addGateways(in Inputs, topo *topology, gateways []catalog.Gateway, found *problems) {
	taken := map[any]catalog.GatewayID{topo.self.PublicKey: topo.self.ID(), topo.self.Overlay: topo.self.ID()}
	for _, g := range gateways {
		i, known := slices.BinarySearchFunc(topo.others, g.Datacenter, func(r remoteDatacenter, name catalog.DatacenterName) int {
			return cmp.Compare(r.name, name)
		})
		if !known {
			continue // of our own datacenter, or of one that is just leaving
		}
		if reason := invalidReason(in, g, taken); reason != "" {
			found.add(Problem{
				"gateway-invalid", Error, gatewayName(g.ID()),
				"no tunnel is made to this gateway: " + reason,
				"remove it with meshctl raft remove-peer " + string(g.ID()) + " and let its datacenter join again",
			})
			continue
		}
		topo.others[i].gateways = append(topo.others[i].gateways, newPeer(in, g))
	}
	for _, dc := range topo.others {
		slices.SortFunc(dc.gateways, func(a, b peer) int { return cmp.Compare(a.Index, b.Index) })
	}
}

// laneKey is the place that a gateway takes in its datacenter.
type laneKey struct {
	datacenter catalog.DatacenterName
	index      uint32
}

// invalidReason says why a gateway can have no tunnel; empty: it can. A gateway
// without flaw takes its key, address and lane.
func invalidReason(in Inputs, g catalog.Gateway, taken map[any]catalog.GatewayID) string {
	switch {
	case g.PublicKey == catalog.Key{}:
		return "it has no public key"
	case !g.Overlay.IsValid() || !in.Catalog.Federation.Overlay.Contains(g.Overlay):
		return fmt.Sprintf("its overlay address %v is not in %v", g.Overlay, in.Catalog.Federation.Overlay)
	case g.Index >= maxLanes:
		return fmt.Sprintf("its index %d is over %d", g.Index, maxLanes-1)
	case int(in.Config.WireGuard.Port)+int(g.Index) > 65535:
		return fmt.Sprintf("there is no UDP port for its lane %d above %d; lower wireguard.port", g.Index, in.Config.WireGuard.Port)
	}
	claims := []any{g.PublicKey, g.Overlay, laneKey{g.Datacenter, g.Index}}
	for i, what := range []string{"public key", "overlay address", "index"} {
		if other, ok := taken[claims[i]]; ok {
			return fmt.Sprintf("%s has the same %s", other, what)
		}
	}
	for _, c := range claims {
		taken[c] = g.ID()
	}
	return ""
}

// newPeer adds to a gateway what liveness and the data plane say of it.
func newPeer(in Inputs, g catalog.Gateway) peer {
	p := peer{Gateway: g, tunnel: observedPeer(in, g)}
	for _, s := range in.Observed.Sessions {
		if s.Gateway != g.ID() {
			continue
		}
		p.session = s
		switch {
		case s.Up:
			p.state = up
		case s.Draining:
			p.state = drained
		case !s.Undecided:
			p.state = down
		}
	}
	return p
}

// observedPeer finds a gateway in the data plane, in its lane.
func observedPeer(in Inputs, g catalog.Gateway) tunnel.ObservedPeer {
	for _, t := range in.Observed.Tunnels {
		if t.Name != device(in, g.Index) {
			continue
		}
		for _, p := range t.Peers {
			if p.PublicKey == tunnel.PublicKey(g.PublicKey) {
				return p
			}
		}
	}
	return tunnel.ObservedPeer{}
}

// usable tells whether traffic may be sent to a gateway. While its session
// has no verdict, a WireGuard session that is alive counts: an agent that
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

// device names the interface of a lane.
func device(in Inputs, index uint32) string {
	return fmt.Sprintf("%s%d", in.Config.WireGuard.Interface, index)
}

// lanes is the number of interfaces: lane 0 is always there, because it
// holds the overlay address that others reach us at.
func (topo topology) lanes() uint32 {
	n := uint32(1)
	for _, p := range topo.peers() {
		n = max(n, p.Index+1)
	}
	return n
}

func sortedDatacenters(in []catalog.Datacenter) []catalog.Datacenter {
	return slices.SortedFunc(slices.Values(in), func(a, b catalog.Datacenter) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Ordinal, b.Ordinal))
	})
}

func sortedGateways(in []catalog.Gateway) []catalog.Gateway {
	return slices.SortedFunc(slices.Values(in), func(a, b catalog.Gateway) int { return cmp.Compare(a.ID(), b.ID()) })
}

package gatewayplan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
)

// CodeNoCommonFamily is the code of the problem that no tunnel to a gateway is possible.
const CodeNoCommonFamily = "no-common-family"

// candidates are the endpoints of a gateway that are worth trying, best first:
// those that it advertises, then those at which it is observed. The addresses of
// this host are none of another one's, and what this host cannot send to is left out.
func candidates(in plan.Inputs, topo topology, p peer) []netip.AddrPort {
	var list []netip.AddrPort
	for _, e := range append(advertised(in, topo, p), topo.seen.Of(p.ID())...) {
		if usableEndpoint(in, e) && !topo.addresses[e.Addr()] && topo.reach[routes.FamilyOf(e.Addr())] != 0 && !slices.Contains(list, e) {
			list = append(list, e)
		}
	}
	slices.SortStableFunc(list, func(a, b netip.AddrPort) int {
		return cmp.Compare(topo.reach[routes.FamilyOf(b.Addr())], topo.reach[routes.FamilyOf(a.Addr())])
	})
	return list
}

// advertised returns the advertised endpoints of a gateway with the port that
// this gateway sends to. They are advertised with the port of lane 0; on the
// peer's side, this gateway is in the lane of its own index.
func advertised(in plan.Inputs, topo topology, p peer) []netip.AddrPort {
	var out []netip.AddrPort
	for _, e := range in.Endpoints[p.ID()] {
		if port := uint32(e.Port()) + topo.self.Index; port <= 65535 {
			out = append(out, netip.AddrPortFrom(e.Addr().Unmap(), uint16(port)))
		}
	}
	return out
}

// usableEndpoint reports whether e can be an endpoint. One in the overlay would route the
// tunnel's packets through the tunnel; loopback and link-local ones are services of this host.
func usableEndpoint(in plan.Inputs, e netip.AddrPort) bool {
	a := e.Addr()
	return e.IsValid() && e.Port() != 0 && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && !a.IsLinkLocalUnicast() &&
		!in.Catalog.Federation.Overlay.Contains(a)
}

// checkCandidates reports the gateways that this host cannot connect to. Those that
// have no address of a family that this host has never answer, however long it tries.
func checkCandidates(in plan.Inputs, topo topology, found *plan.Problems) {
	for _, p := range topo.peers() {
		if p.tunnel.Endpoint.IsValid() && p.live(in.Now) || len(p.candidates) > 0 {
			continue
		}
		if theirs := otherFamilies(in, topo, *p); theirs != "" {
			ours := map[string]string{"IPv4": "IPv6", "IPv6": "IPv4"}[theirs] // an address of either family reaches one of them
			found.AddError(CodeNoCommonFamily, plan.GatewaySubject(p.ID()),
				fmt.Sprintf("no tunnel is possible between gateway %s, which has %s addresses only, and gateway %s, which advertises %s addresses only",
					in.Self, ours, p.ID(), theirs),
				fmt.Sprintf("give %s an %s address, or %s an %s address; where wireguard.advertise and control.advertise are set, add the address to them",
					in.Self, theirs, p.ID(), ours))
			continue
		}
		if p.tunnel.Endpoint.IsValid() {
			continue
		}
		found.AddWarning("endpoint-missing", plan.GatewaySubject(p.ID()),
			fmt.Sprintf("the tunnel to gateway %s has no endpoint; it comes up only if that gateway connects first", p.ID()),
			fmt.Sprintf("set wireguard.advertise on %s, or check that the name in it resolves on this host", p.ID()))
	}
}

// otherFamilies returns the family of the endpoints of a gateway if this host has
// none of that family, else "".
func otherFamilies(in plan.Inputs, topo topology, p peer) string {
	var names []string
	for _, e := range advertised(in, topo, p) {
		f := routes.FamilyOf(e.Addr())
		if topo.reach[f] > 0 {
			return ""
		}
		names = append(names, fmt.Sprintf("IPv%d", f))
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " and ")
}

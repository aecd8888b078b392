package interference

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
)

// IPsec returns one problem for each policy of IPsec that drops packets of Meshway, or takes
// them from its tunnels. Tunnels may pass IPsec themselves.
func (f Filters) IPsec() []plan.Problem {
	if len(f.Observed.Policies) == 0 {
		return nil
	}
	found := make([][]string, len(f.Observed.Policies)) // what each one is for
	for _, fl := range f.flows() {
		for _, direction := range fl.purpose.directions() {
			for i, p := range f.Observed.Policies {
				tunnel := fl.purpose == tunnelsIn || fl.purpose == tunnelsOut
				if p.Direction != direction || !p.Block && (!p.Encapsulate || tunnel) || !f.applies(fl, p) {
					continue
				}
				if text := fl.purpose.String(); !slices.Contains(found[i], text) {
					found[i] = append(found[i], text)
				}
			}
		}
	}
	var out []plan.Problem
	for i, purposes := range found {
		if len(purposes) > 0 {
			out = append(out, byPolicy(f.Observed.Policies[i], joined(purposes)))
		}
	}
	return out
}

// directions returns the directions of policies that apply to packets.
func (p purpose) directions() []string {
	switch {
	case p == fromPods || p == toPods:
		return []string{"fwd", "out"}
	case p.out() || p == tunnelsOut:
		return []string{"out"}
	default:
		return []string{"in"}
	}
}

// applies reports whether a policy applies to packets of a flow: it is for them, and no other
// one precedes it.
func (f Filters) applies(fl flow, p routes.IPsecPolicy) bool {
	from, ok := f.end(fl.packet.Source, fl.packet.Sources, p.Source, fl.packet.Destination)
	to, ok2 := f.end(fl.packet.Destination, fl.packet.Destinations, p.Destination, fl.packet.Source)
	if !ok || !ok2 || !selects(p, fl, from, to) {
		return false
	}
	return !slices.ContainsFunc(f.Observed.Policies, func(other routes.IPsecPolicy) bool {
		earlier := !other.Default && (p.Default || other.Priority < p.Priority)
		return earlier && other.Direction == p.Direction && selects(other, fl, from, to)
	})
}

// end returns an address of a flow that a policy is for. Addresses of this host are those of
// the family of the other end.
func (f Filters) end(address netip.Addr, network, selected netip.Prefix, other netip.Addr) (netip.Addr, bool) {
	switch {
	case !selected.IsValid() && address.IsValid():
		return address, true
	case network.IsValid() && selected.Overlaps(network):
		return inside(longer(network, selected)), true
	case address.IsValid():
		return address, selected.Contains(address)
	}
	i := slices.IndexFunc(f.Host.Addresses, func(a netip.Addr) bool {
		return a.Is4() == other.Is4() && (!selected.IsValid() || selected.Contains(a))
	})
	if i < 0 {
		return netip.Addr{}, false
	}
	return f.Host.Addresses[i], true
}

// selects reports whether a policy is for packets between two addresses.
func selects(p routes.IPsecPolicy, fl flow, from, to netip.Addr) bool {
	ports := func(of, have uint16) bool { return of == 0 || of == have }
	return !p.Partial && (!p.Source.IsValid() || p.Source.Contains(from)) && (!p.Destination.IsValid() || p.Destination.Contains(to)) &&
		(p.Protocol == 0 || p.Protocol == routes.ProtocolNumber(fl.packet.Protocol)) && ports(p.FromPort, fl.packet.SourcePort) && ports(p.ToPort, fl.packet.DestinationPort)
}

func byPolicy(p routes.IPsecPolicy, what string) plan.Problem {
	does, code := "drops "+what, "traffic-filtered"
	switch {
	case p.Block:
	case p.Direction == "out":
		does, code = "takes "+what+" from Meshway's tunnels, and sends them by IPsec", "traffic-diverted"
	default:
		does = "drops " + what + ", because they do not come by IPsec"
	}
	subject := fmt.Sprintf("IPsec policy %q", p)
	return plan.Problem{
		Code: code, Severity: plan.Error, Subject: subject, Message: subject + " " + does,
		Remedy: fmt.Sprintf("run %s, or exclude the prefixes of other datacenters from the IPsec connection that has it", p.Remedy()),
	}
}

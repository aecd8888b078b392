package interference

import (
	"net/netip"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// pods has a pod of this host for each device and network of pods, by family.
type pods map[routes.Family][]pod

type pod struct {
	device  string // to the pod
	address netip.Addr
	network netip.Prefix // of the pods on the device
}

// pods returns the devices to pods of this host with a source address behind each. The
// first one is of a network, if there is one, rather than of a route to a pod.
func (p Paths) pods() pods {
	out := pods{}
	add := func(device string, network netip.Prefix, a netip.Addr) {
		f := routes.FamilyOf(a)
		if !slices.ContainsFunc(out[f], func(known pod) bool { return known.device == device && known.network == network }) {
			out[f] = append(out[f], pod{device, a, network})
		}
	}
	for _, l := range p.Host.Links {
		for _, prefix := range l.Prefixes {
			if !p.isOfPods(prefix) {
				continue
			}
			for a := inside(prefix); prefix.Contains(a); a = a.Next() {
				if !slices.Contains(p.Host.Addresses, a) {
					add(l.Device, prefix.Masked(), a)
					break
				}
			}
		}
	}
	for _, r := range p.Host.Routes {
		if r.MayBeLocal() && r.Device != "" && p.isOfPods(r.Prefix) && !slices.Contains(p.Host.Addresses, inside(r.Prefix)) {
			add(r.Device, r.Prefix, inside(r.Prefix))
		}
	}
	return out
}

// isOfPods reports whether a network is a part of the pods of this datacenter.
func (p Paths) isOfPods(network netip.Prefix) bool {
	return slices.ContainsFunc(p.Own, func(own catalog.Prefix) bool {
		return own.Kind == catalog.PodPrefix && own.CIDR.Overlaps(network) && own.CIDR.Bits() <= network.Bits()
	})
}

// first returns a pod of a family.
func (p pods) first(f routes.Family) (pod, bool) {
	if len(p[f]) == 0 {
		return pod{}, false
	}
	return p[f][0], true
}

// within returns a pod with an address and device that a rule selects; false: it selects
// none. Packets of pods on other hosts arrive on other devices than those of pods.
func (s scope) within(r routes.ForeignRule) (pod, bool) {
	found, ok := s.pods.first(r.Family)
	if !ok {
		return pod{}, false
	}
	if r.In != "" && r.In != found.device {
		i := slices.IndexFunc(s.pods[r.Family], func(each pod) bool { return each.device == r.In })
		switch {
		case i >= 0:
			found = s.pods[r.Family][i]
		case s.carriesPods(r.In, r.Family):
			found.device = r.In
		default:
			return pod{}, false
		}
	}
	if !r.From.IsValid() || r.From.Contains(found.address) {
		return found, true
	}
	for _, own := range s.Own {
		if own.Kind != catalog.ServicePrefix && own.CIDR.Overlaps(r.From) {
			found.address = inside(longer(own.CIDR, r.From))
			return found, true
		}
	}
	return pod{}, false
}

// carriesPods reports whether packets of this datacenter's other hosts arrive on a device:
// it has a network of the datacenter, or the routes to one.
func (s scope) carriesPods(device string, f routes.Family) bool {
	const maxOwn = 64 // each is compared with all routes of the host
	own := slices.DeleteFunc(slices.Clone(s.Own), func(c catalog.Prefix) bool {
		return c.Kind == catalog.ServicePrefix || routes.FamilyOf(c.CIDR.Addr()) != f
	})
	return slices.ContainsFunc(own[:min(len(own), maxOwn)], func(c catalog.Prefix) bool {
		for _, l := range s.Host.Links {
			if l.Device == device && slices.ContainsFunc(l.Prefixes, c.CIDR.Overlaps) {
				return true
			}
		}
		found, ok := routes.LookupIn(s.Host.Routes, inside(c.CIDR), 0)
		return ok && found.Device == device
	})
}

// ownAddress returns an address of this host from which a rule selects its packets to
// other datacenters; the zero Addr: the one that the kernel chooses. It reports false if
// there is none: to other sources than those of its datacenter, nothing is sent.
func (s scope) ownAddress(r routes.ForeignRule) (netip.Addr, bool) {
	if r.In != "" && r.In != "lo" || r.Out != "" && !s.isLane(r.Out) {
		return netip.Addr{}, false
	}
	if !r.From.IsValid() {
		return netip.Addr{}, true
	}
	i := slices.IndexFunc(s.Host.Addresses, func(a netip.Addr) bool {
		return r.From.Contains(a) && slices.ContainsFunc(s.Own, func(own catalog.Prefix) bool {
			return own.Kind != catalog.ServicePrefix && own.CIDR.Contains(a)
		})
	})
	if i < 0 {
		return netip.Addr{}, false
	}
	return s.Host.Addresses[i], true
}

// concerns reports whether a rule may be for packets of this host or its pods.
func (s scope) concerns(r routes.ForeignRule) bool {
	if _, ok := s.ownAddress(r); ok {
		return true
	}
	_, ok := s.within(r)
	return ok && r.Out == ""
}

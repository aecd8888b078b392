package status

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// localTable is the kernel's table of the addresses of this host (RT_TABLE_LOCAL).
const localTable = 255

// destination explains the kernel's answer for one address.
func (s RouteSources) destination(report RoutesReport) *Destination {
	l := *s.Lookup
	return &Destination{
		Address: l.Address,
		Table:   l.Table,
		Prefix:  l.Prefix,
		Device:  l.Device,
		Source:  address(l.Source),
		Verdict: s.verdict(l, report),
	}
}

// verdict describes in one sentence what the address is and how packets to it
// leave this host.
func (s RouteSources) verdict(l Lookup, report RoutesReport) string {
	owner, local := s.describeOwner(l.Address)
	switch {
	case l.Table == localTable:
		return fmt.Sprintf("%v is an address of this host", l.Address)
	case s.inMeshwayTable(l) && l.Blackhole && s.withdrawn(l.Address) != nil:
		w := s.withdrawn(l.Address)
		return fmt.Sprintf("%v is in %v, which %s does not announce since %s: packets to it are dropped and not sent unencrypted, until %s",
			l.Address, w.Prefix.CIDR, w.Datacenter, w.At.UTC().Format(time.TimeOnly), w.At.Add(plan.GuardTime).UTC().Format(time.TimeOnly+" MST"))
	case s.leftTo(l.Address) != nil:
		w := s.leftTo(l.Address)
		return fmt.Sprintf("%v is in %v of %s, of federation %s that this host left at %s: packets to it are dropped and not sent unencrypted, until meshctl leave --release",
			l.Address, w.Prefix.CIDR, w.Datacenter, s.Left.Federation, s.Left.At.UTC().Format(time.DateTime))
	case s.inMeshwayTable(l):
		return s.describeMeshwayRoute(l, owner, report)
	case l.Blackhole:
		return fmt.Sprintf("%s: a route that is not Meshway's drops packets to it", owner)
	case l.Error != "":
		return fmt.Sprintf("%s: this host has no route to it (%s)", owner, l.Error)
	case local:
		return fmt.Sprintf("%s, which is this datacenter: packets to it leave through %s by a route that is not Meshway's", owner, l.Device)
	case owner == unowned(l.Address):
		return fmt.Sprintf("%s: packets to it leave through %s and are not affected by Meshway", owner, l.Device)
	default:
		return fmt.Sprintf("%s, but another route is preferred: packets to it leave through %s and not through a tunnel; check for missing rules or routes (meshctl routes)",
			owner, l.Device)
	}
}

// withdrawn returns the last announcement of an address that no datacenter announces; nil:
// there is none that is guarded.
func (s RouteSources) withdrawn(a netip.Addr) *plan.Withdrawn {
	if owner, _ := s.describeOwner(a); owner != unowned(a) {
		return nil
	}
	for i, w := range s.Inputs.Withdrawn {
		if w.Prefix.CIDR.Contains(a) {
			return &s.Inputs.Withdrawn[i]
		}
	}
	return nil
}

// leftTo returns the announcement of an address to which packets are dropped since the
// datacenter of this host left; nil: there is none.
func (s RouteSources) leftTo(a netip.Addr) *plan.Withdrawn {
	contains := func(p netip.Prefix) bool { return p.Contains(a) }
	if !slices.ContainsFunc(s.Desired.Firewall.Remote, contains) {
		return nil
	}
	for i, w := range s.Left.Prefixes {
		if contains(w.Prefix.CIDR) {
			return &s.Left.Prefixes[i]
		}
	}
	return nil
}

// inMeshwayTable reports whether the packet takes a route of Meshway's table.
func (s RouteSources) inMeshwayTable(l Lookup) bool {
	if l.Error != "" {
		return false
	}
	lane, found := strings.CutPrefix(l.Device, s.Inputs.Config.WireGuard.Interface)
	isLane := found && lane != "" && strings.Trim(lane, "0123456789") == ""
	return l.Table == s.Inputs.Config.Routing.Table || isLane
}

// describeMeshwayRoute returns the verdict for a packet that takes a route of
// Meshway's table. Owner is the first half of the sentence.
func (s RouteSources) describeMeshwayRoute(l Lookup, owner string, report RoutesReport) string {
	route, found := longestMatch(report.Routes, l)
	switch {
	case s.Node && (l.Blackhole || l.Device == "" || found && route.State == blackhole):
		return owner + ": no gateway of this datacenter can be reached, so packets to it are dropped and not sent unencrypted"
	case l.Blackhole || l.Device == "" || found && route.State == blackhole:
		return owner + ": no gateway of its datacenter answers, so packets to it are dropped and not sent unencrypted"
	case found && route.State == foreign:
		return fmt.Sprintf("%s: packets to it leave through %s by a route in Meshway's table that Meshway did not create", owner, l.Device)
	}
	var paths []string
	for _, v := range route.Via {
		if v.Up && v.Gateway != "" {
			paths = append(paths, fmt.Sprintf("%s to %s", v.Device, v.Gateway))
		}
	}
	if len(paths) == 0 {
		paths = []string{l.Device}
	}
	return fmt.Sprintf("%s: packets to it go through %s", owner, strings.Join(paths, " or "))
}

// longestMatch returns the route that the kernel selected: the one with the
// prefix in its answer, or else the longest prefix that contains the address.
func longestMatch(list []Route, l Lookup) (Route, bool) {
	var best Route
	for _, r := range list {
		if r.State == missing || !r.Prefix.Contains(l.Address) {
			continue
		}
		if r.Prefix == l.Prefix {
			return r, true
		}
		if !best.Prefix.IsValid() || r.Prefix.Bits() > best.Prefix.Bits() {
			best = r
		}
	}
	return best, best.Prefix.IsValid()
}

// describeOwner returns the first half of the verdict: which datacenter owns the
// address. Local reports whether that is the own datacenter.
func (s RouteSources) describeOwner(a netip.Addr) (text string, local bool) {
	own := s.Inputs.Self.Datacenter()
	for _, g := range s.Inputs.Catalog.Gateways {
		if g.Overlay == a {
			return fmt.Sprintf("%v is the overlay address of %s", a, g.ID()), g.Datacenter == own
		}
	}
	best := netip.Prefix{}
	text = unowned(a)
	if s.Node && s.Inputs.Catalog.Federation.Overlay.Contains(a) {
		return fmt.Sprintf("%v is in the overlay of the federation", a), false
	}
	for _, dc := range s.Inputs.Catalog.Datacenters {
		for _, p := range dc.Prefixes {
			if p.CIDR.Contains(a) && (!best.IsValid() || p.CIDR.Bits() > best.Bits()) {
				best, local = p.CIDR, dc.Name == own
				text = fmt.Sprintf("%v is a %s address of %s", a, p.Kind, dc.Name)
			}
		}
	}
	if !best.IsValid() && slices.ContainsFunc(s.Inputs.Config.Prefixes, func(p catalog.Prefix) bool { return p.CIDR.Contains(a) }) {
		return fmt.Sprintf("%v is an address of %s", a, own), true // the catalog does not have it before the join
	}
	return text, local
}

func unowned(a netip.Addr) string { return fmt.Sprintf("%v belongs to no datacenter", a) }

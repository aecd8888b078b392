package status

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/meshway/meshway/consensus/catalog"
)

// localTable is the kernel's table of this host's own addresses (RT_TABLE_LOCAL).
const localTable = 255

// destination explains the kernel's answer for one address.
func (s RouteSources) destination(report RoutesReport) *Destination {
	l := *s.Lookup
	return &Destination{
		Address: l.Address, Table: l.Table, Prefix: l.Prefix, Device: l.Device, Source: address(l.Source),
		Verdict: s.verdict(l, report),
	}
}

// verdict is one sentence for a person: whose the address is, and which way
// its packets take.
func (s RouteSources) verdict(l Lookup, report RoutesReport) string {
	what, local := s.describeOwner(l.Address)
	switch {
	case l.Table == localTable:
		return fmt.Sprintf("%v is an address of this host itself", l.Address)
	case s.inMeshwayTable(l):
		return s.describeMeshwayRoute(l, what, report)
	case l.Blackhole:
		return fmt.Sprintf("%s: a route of this host drops its packets; it is not one of Meshway's", what)
	case l.Error != "":
		return fmt.Sprintf("%s: this host has no way to it (%s)", what, l.Error)
	case local:
		return fmt.Sprintf("%s, which is this datacenter: this host's own routes take it through %s", what, l.Device)
	case what == unowned(l.Address):
		return fmt.Sprintf("%s: it leaves through %s as if Meshway were not there", what, l.Device)
	default:
		return fmt.Sprintf("%s, but another route is preferred: it leaves through %s and NOT through a tunnel; look for missing rules or routes (meshctl routes)",
			what, l.Device)
	}
}

// inMeshwayTable tells whether the packet takes a route of Meshway's table.
func (s RouteSources) inMeshwayTable(l Lookup) bool {
	if l.Error != "" {
		return false
	}
	lane, found := strings.CutPrefix(l.Device, s.Inputs.Config.WireGuard.Interface)
	isLane := found && lane != "" && strings.Trim(lane, "0123456789") == ""
	return l.Table == s.Inputs.Config.Routing.Table || isLane
}

// describeMeshwayRoute finishes the sentence for a packet that takes one of our routes.
func (s RouteSources) describeMeshwayRoute(l Lookup, what string, report RoutesReport) string {
	route, found := longestMatch(report.Routes, l)
	switch {
	case s.Node && (l.Blackhole || l.Device == "" || found && route.State == blackhole):
		return what + ": no gateway of this datacenter can be reached, so that its packets are dropped and not sent in plain text"
	case l.Blackhole || l.Device == "" || found && route.State == blackhole:
		return what + ": no gateway of it answers, so that its packets are dropped and not sent in plain text"
	case found && route.State == foreign:
		return fmt.Sprintf("%s: it leaves through %s, by a route in Meshway's table that Meshway did not make", what, l.Device)
	}
	var ways []string
	for _, v := range route.Via {
		if v.Up && v.Gateway != "" {
			ways = append(ways, fmt.Sprintf("%s to %s", v.Device, v.Gateway))
		}
	}
	if len(ways) == 0 {
		ways = []string{l.Device}
	}
	return fmt.Sprintf("%s: it goes through %s", what, strings.Join(ways, " or "))
}

// longestMatch is the route that matched: the one that the kernel names, else the
// narrowest in which the address lies.
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

// describeOwner begins the sentence: what an address is. Local: of our own datacenter.
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
		return fmt.Sprintf("%v is an address of %s", a, own), true // not joined yet
	}
	return text, local
}

func unowned(a netip.Addr) string { return fmt.Sprintf("%v belongs to no datacenter", a) }

package routes

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// FamilyOf returns the family of an address. An IPv4-mapped IPv6 address is
// IPv6, as in the kernel.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// HasNexthops reports whether a configuration has all nexthops with the ids.
func (c Config) HasNexthops(ids []uint32) bool {
	return !slices.ContainsFunc(ids, func(id uint32) bool {
		_, ok := slices.BinarySearchFunc(c.Nexthops, id, func(n Nexthop, id uint32) int { return cmp.Compare(n.ID, id) })
		return !ok
	})
}

// String returns the setting as an argument of sysctl(8).
func (s Sysctl) String() string { return s.Key + "=" + s.Value }

// String returns the nexthop as arguments of "ip nexthop add".
func (n Nexthop) String() string {
	if n.Device == "" {
		return fmt.Sprintf("%s blackhole protocol %d", idText(n.ID), DefaultProtocol)
	}
	via := ""
	if n.Via.IsValid() {
		via = fmt.Sprintf("via %s ", n.Via)
	}
	return fmt.Sprintf("%s %sdev %s protocol %d", idText(n.ID), via, n.Device, DefaultProtocol)
}

// String returns the group as arguments of "ip nexthop add".
func (g Group) String() string {
	members := make([]string, len(g.Members))
	for i, id := range g.Members {
		members[i] = fmt.Sprintf("%#x", id)
	}
	return fmt.Sprintf("%s group %s protocol %d", idText(g.ID), strings.Join(members, "/"), DefaultProtocol)
}

// Table returns the number of the table that has the route, given the configured
// table.
func (r Route) Table(table int) int {
	if r.ToNode {
		return NodesTable(table)
	}
	return table
}

// Table returns the number of the table that the rule looks up, given the
// configured table.
func (r Rule) Table(table int) int {
	if r.In != "" {
		return NodesTable(table)
	}
	return table
}

// Text returns the route as arguments of "ip route add", given the configured table.
func (r Route) Text(table int) string {
	var b strings.Builder
	switch r.Kind {
	case Guard:
		fmt.Fprintf(&b, "blackhole %s", r.Prefix)
	case Throw:
		fmt.Fprintf(&b, "throw %s", r.Prefix)
	default:
		fmt.Fprintf(&b, "%s nhid %#x", r.Prefix, r.Nexthop)
	}
	if r.Source.IsValid() {
		fmt.Fprintf(&b, " src %s", r.Source)
	}
	if r.MTU != 0 {
		fmt.Fprintf(&b, " mtu %d", r.MTU)
	}
	fmt.Fprintf(&b, " table %d proto %d", r.Table(table), DefaultProtocol)
	if metric := r.Kind.Metric(); metric != 0 {
		fmt.Fprintf(&b, " metric %d", metric)
	}
	return b.String()
}

// Text returns the rule as arguments of "ip rule add", given the configured table.
func (r Rule) Text(table int) string {
	return fmt.Sprintf("%s lookup %d priority %d protocol %d", r.Selector(), r.Table(table), r.Priority, DefaultProtocol)
}

// Selector returns the rule's selector, as ip prints it.
func (r Rule) Selector() string {
	if r.In != "" {
		return "iif " + r.In
	}
	return fmt.Sprintf("not fwmark %#x/%#x", r.Mark, r.Mark)
}

func (n Nexthop) family() Family { return n.Family }
func (g Group) family() Family   { return g.Family }
func (r Route) family() Family   { return FamilyOf(r.Prefix.Addr()) }
func (r Rule) family() Family    { return r.Family }

func idText(id uint32) string { return fmt.Sprintf("id %#x", id) }

package routing

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/routes"
)

// NodePortSNAT translates the source of connections to node ports to the
// address of this host, because answers may otherwise return through another
// host. It needs the service prefixes of a family, to exclude connections to
// cluster IPs.
func NodePortSNAT(services []netip.Prefix, source func(routes.Family) netip.Addr) routes.NodePortSNAT {
	v := routes.NodePortSNAT{ClusterIPs: services}
	for _, f := range Families() {
		if a := source(f); a.IsValid() && HasFamily(services, f) {
			v.Addresses = append(v.Addresses, a)
		}
	}
	if len(v.Addresses) == 0 {
		return routes.NodePortSNAT{}
	}
	return v
}

// SortHops sorts hops by device and address.
func SortHops(hops []routes.Hop) {
	slices.SortFunc(hops, func(a, b routes.Hop) int {
		return cmp.Or(cmp.Compare(a.Device, b.Device), a.Address.Compare(b.Address))
	})
}

// HasFamily reports whether a prefix is of a family.
func HasFamily(prefixes []netip.Prefix, f routes.Family) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return routes.FamilyOf(p.Addr()) == f })
}

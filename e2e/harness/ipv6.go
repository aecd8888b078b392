//go:build linux

package harness

import (
	"errors"
	"net/netip"
	"slices"
)

// RouteIPv6 connects both routers by IPv6, too.
func (t *Topology) RouteIPv6() error {
	between := netip.MustParsePrefix("2001:db8:ffff::/64")
	return errors.Join(
		t.Routers[0].AddAddress(interfaceName(t.Routers[1]), nth(between, 1)),
		t.Routers[1].AddAddress(interfaceName(t.Routers[0]), nth(between, 2)),
		t.Routers[0].Route(netip.MustParsePrefix("2001:db8:1::/48"), nth(between, 2).Addr()),
		t.Routers[1].Route(netip.MustParsePrefix("2001:db8::/48"), nth(between, 1).Addr()),
	)
}

// link6 returns the IPv6 prefix between a gateway and its router.
func (t *Topology) link6(dc *Datacenter) netip.Prefix {
	routers := [2]string{"2001:db8::/48", "2001:db8:1::/48"}
	of := netip.MustParsePrefix(routers[slices.Index(t.Routers[:], dc.router)])
	number := slices.Index(t.Datacenters, dc)
	address := of.Addr().As16()
	address[7] = byte(number + 1)
	return netip.PrefixFrom(netip.AddrFrom16(address), 64)
}

// AddIPv6 gives a gateway an IPv6 address and a default route on the underlay.
// RouteIPv6 comes first.
func (t *Topology) AddIPv6(dc *Datacenter) error {
	link := t.link6(dc)
	return errors.Join(
		dc.router.AddAddress(interfaceName(dc.Gateway), nth(link, 1)),
		dc.Gateway.AddAddress(interfaceName(dc.router), nth(link, 2)),
		dc.Gateway.Route(netip.MustParsePrefix("::/0"), nth(link, 1).Addr()),
	)
}

// RemoveIPv4 removes the IPv4 address of a gateway on the underlay, and with it its
// default route.
func (t *Topology) RemoveIPv4(dc *Datacenter) error {
	return dc.Gateway.RemoveAddress(interfaceName(dc.router), dc.Underlay)
}

package routes

import (
	"cmp"
	"slices"
)

// ForwardingSysctls is what the kernel needs to be a gateway over the given
// devices, sorted by key.
//
// A loose reverse-path filter (2) is asked for on the devices, because the way
// back may be another lane; the firewall's anti-spoofing is stricter than what
// is lost. The kernel uses the higher of conf/all and the device's value, so 2
// on the device holds even where conf/all is 1 (Documentation/networking/ip-sysctl.rst).
func ForwardingSysctls(devices []string) []Sysctl {
	settings := []Sysctl{
		{Key: "net/ipv4/ip_forward", Value: "1"},
		{Key: "net/ipv6/conf/all/forwarding", Value: "1"},
		// Flows, not hosts, are spread over the gateways of a datacenter.
		{Key: "net/ipv4/fib_multipath_hash_policy", Value: "1"},
		{Key: "net/ipv6/fib_multipath_hash_policy", Value: "1"},
		// Without it a change of a group notifies every route that uses it:
		// 100 ms instead of 5 ms for 100 000 routes. It holds for both families.
		{Key: "net/ipv4/nexthop_compat_mode", Value: "0"},
	}
	return withLooseRPFilter(settings, devices)
}

// NodeSysctls is what the kernel needs to spread flows over the gateways of
// its cluster, some of them behind the given tunnel devices, sorted by key.
func NodeSysctls(devices []string) []Sysctl {
	settings := append(ForwardingSysctls(nil),
		// A gateway that does not answer to ARP gets no flows (ip-sysctl.rst);
		// for IPv6 that holds always.
		Sysctl{Key: "net/ipv4/fib_multipath_use_neigh", Value: "1"})
	return withLooseRPFilter(settings, devices)
}

func withLooseRPFilter(settings []Sysctl, devices []string) []Sysctl {
	for _, device := range devices {
		settings = append(settings, Sysctl{Key: "net/ipv4/conf/" + device + "/rp_filter", Value: "2"})
	}
	slices.SortFunc(settings, func(a, b Sysctl) int { return cmp.Compare(a.Key, b.Key) })
	return settings
}

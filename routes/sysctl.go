package routes

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// ForwardingSysctls returns the settings of a gateway with the given devices,
// sorted by key.
//
// The reverse-path filter of the devices is loose (2), because the return path
// may be another lane; the firewall's anti-spoofing is stricter than a strict
// filter. The kernel uses the higher of conf/all and the device's value, so 2 on
// the device is effective even if conf/all is 1
// (Documentation/networking/ip-sysctl.rst).
func ForwardingSysctls(devices []string) []Sysctl {
	settings := []Sysctl{
		{Key: "net/ipv4/ip_forward", Value: "1"},
		{Key: "net/ipv6/conf/all/forwarding", Value: "1"},
		// Distribute flows, not hosts, over the gateways of a datacenter.
		{Key: "net/ipv4/fib_multipath_hash_policy", Value: "1"},
		{Key: "net/ipv6/fib_multipath_hash_policy", Value: "1"},
		// With 1, a change of a group sends a notification for every route that
		// uses it: 100 ms instead of 5 ms for 100 000 routes. The setting is for
		// both families.
		{Key: "net/ipv4/nexthop_compat_mode", Value: "0"},
	}
	return withLooseRPFilter(settings, devices)
}

// NodeSysctls returns the settings of a node, which distributes flows over the
// gateways of its cluster, sorted by key. The devices are its tunnels to gateways.
func NodeSysctls(devices []string) []Sysctl {
	settings := append(ForwardingSysctls(nil),
		// Select no gateway that does not answer ARP (ip-sysctl.rst). The kernel
		// always does the same for IPv6.
		Sysctl{Key: "net/ipv4/fib_multipath_use_neigh", Value: "1"})
	return withLooseRPFilter(settings, devices)
}

// SourceMarkSysctls returns the settings of the given devices with which the
// kernel considers the mark of a packet when it validates the packet's source, as
// wg-quick(8) sets them for all devices (src_valid_mark): sources of peers whose
// addresses are routed into the tunnels are valid outside of the tunnels, too.
// The other devices keep their setting, because with it a packet that a
// transparent proxy has marked fails the validation.
func SourceMarkSysctls(devices []string) []Sysctl {
	var settings []Sysctl
	for _, device := range devices {
		settings = append(settings, Sysctl{Key: "net/ipv4/conf/" + device + "/src_valid_mark", Value: "1"})
	}
	return settings
}

// DeviceForwardingSysctls returns the settings with which packets that arrive on the
// given devices are forwarded. net/ipv4/ip_forward sets them for the devices that exist,
// and another program may change one alone. For IPv6 there is only the one for all.
func DeviceForwardingSysctls(devices []string) []Sysctl {
	var settings []Sysctl
	for _, device := range devices {
		settings = append(settings, Sysctl{Key: "net/ipv4/conf/" + device + "/forwarding", Value: "1"})
	}
	return settings
}

// LooseSysctls returns the settings of a host with the given lanes that forwards
// nothing, sorted by key.
func LooseSysctls(devices []string) []Sysctl { return withLooseRPFilter(nil, devices) }

func withLooseRPFilter(settings []Sysctl, devices []string) []Sysctl {
	for _, device := range devices {
		settings = append(settings, Sysctl{Key: "net/ipv4/conf/" + device + "/rp_filter", Value: "2"})
	}
	slices.SortFunc(settings, func(a, b Sysctl) int { return cmp.Compare(a.Key, b.Key) })
	return settings
}

// AcceptRASysctls returns the settings of links whose default route is from a
// router advertisement. A host that forwards removes such routes, unless
// accept_ra is 2 (Documentation/networking/ip-sysctl.rst).
func AcceptRASysctls(devices []string) []Sysctl {
	var settings []Sysctl
	for _, device := range devices {
		settings = append(settings, Sysctl{Key: "net/ipv6/conf/" + device + "/accept_ra", Value: "2"})
	}
	return settings
}

// InOrder returns settings in the order in which they are set: accept_ra before
// forwarding.
func InOrder(settings []Sysctl) []Sysctl {
	first := func(s Sysctl) int {
		if strings.HasSuffix(s.Key, "/accept_ra") {
			return 0
		}
		return 1
	}
	return slices.SortedStableFunc(slices.Values(settings), func(a, b Sysctl) int { return cmp.Compare(first(a), first(b)) })
}

// Without returns the settings without those of a family that the host lacks.
func Without(settings []Sysctl, f Family) []Sysctl {
	return filter(settings, func(s Sysctl) bool { return !strings.HasPrefix(s.Key, fmt.Sprintf("net/ipv%d/", f)) })
}

package routes

import "net/netip"

// HostRoute is a route of the host's main table, whoever made it. It is looked
// at and never changed: a CNI plugin's routes tell which pods are on a host.
type HostRoute struct {
	Prefix netip.Prefix
	Device string     // empty: none, or several
	Via    netip.Addr // zero: the destination is on the device's link
	Drop   bool       // the packet is dropped: blackhole, unreachable or prohibit
}

// MayBeLocal tells whether the route may be to what is on this host itself.
// Those by way of a router of another host are many, and say nothing of it.
func (r HostRoute) MayBeLocal() bool { return r.Drop || !r.Via.IsValid() }

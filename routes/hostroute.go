package routes

import (
	"cmp"
	"fmt"
	"net/netip"
)

// HostRoute is a route of the host's main table, or of that of a rule, of any origin. It is read and
// never changed: the routes of a CNI plugin show which pods are on a host.
type HostRoute struct {
	Prefix netip.Prefix
	Device string     // empty: none, or several
	Via    netip.Addr // router; zero: the destination is on the device's link
	// Advertised is set if the route is from a router advertisement (RFC 4861),
	// which the kernel has processed.
	Advertised bool
	Drop       string // "blackhole", "prohibit" or "unreachable" if the route drops packets
	Throw      bool   // the route ends the lookup in the table
	Table      int    // of a route to which a policy rule points; 0: it is not stated
}

// MayBeLocal reports whether the route may be to pods on this host. Routes
// through a router are to other hosts.
func (r HostRoute) MayBeLocal() bool { return r.Drop != "" || !r.Via.IsValid() }

// Text returns the route as ip prints it.
func (r HostRoute) Text() string {
	switch {
	case r.Throw:
		return "throw " + r.Prefix.String()
	case r.Drop != "":
		return r.Drop + " " + r.Prefix.String()
	case r.Via.IsValid():
		return fmt.Sprintf("%s via %s", r.Prefix, r.Via)
	default:
		return fmt.Sprintf("%s dev %s", r.Prefix, cmp.Or(r.Device, "(several)"))
	}
}

// LookupIn returns the route of a table for an address; false: the lookup goes on with the
// next rule. Prefixes shorter than shortest do not count.
func LookupIn(table []HostRoute, a netip.Addr, shortest int) (HostRoute, bool) {
	best, ok := HostRoute{}, false
	for _, r := range table {
		if r.Prefix.Contains(a) && (!ok || r.Prefix.Bits() > best.Prefix.Bits()) {
			best, ok = r, true
		}
	}
	return best, ok && !best.Throw && best.Prefix.Bits() >= shortest
}

package kernel

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/routes"
)

// anyScope (RT_SCOPE_NOWHERE) matches every scope in a deletion.
const anyScope = 0xff

// rtaNexthopID is RTA_NH_ID of linux/rtnetlink.h, which package unix lacks.
const rtaNexthopID = 30

// native is the byte order of netlink messages.
var native = binary.NativeEndian //nolint:gochecknoglobals // a constant of the platform

// appendMessage appends one message. The function body appends its body; the
// length is set afterwards.
func appendMessage(b []byte, typ uint16, flags uint16, seq uint32, body func([]byte) []byte) []byte {
	start := len(b)
	b = append(b, make([]byte, unix.SizeofNlMsghdr)...)
	b = body(b)
	header := b[start:]
	native.PutUint32(header, uint32(len(header))) //nolint:gosec // a few hundred bytes
	native.PutUint16(header[4:], typ)
	native.PutUint16(header[6:], flags)
	native.PutUint32(header[8:], seq)
	return b // aligned, because attributes are padded
}

// appendAttr appends an attribute, padded to 4 bytes.
func appendAttr(b []byte, typ uint16, value []byte) []byte {
	b = native.AppendUint16(b, uint16(unix.SizeofRtAttr+len(value))) //nolint:gosec // values are short
	b = native.AppendUint16(b, typ)
	b = append(b, value...)
	for len(b)%unix.RTA_ALIGNTO != 0 {
		b = append(b, 0)
	}
	return b
}

func appendAttr32(b []byte, typ uint16, value uint32) []byte {
	return appendAttr(b, typ, native.AppendUint32(nil, value))
}

func familyByte(f routes.Family) byte {
	if f == routes.IPv6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// appendNexthopHeader appends struct nhmsg: family, scope, protocol, reserved, flags.
func appendNexthopHeader(b []byte, family, protocol byte) []byte {
	return append(b, family, 0, protocol, 0, 0, 0, 0, 0)
}

// appendNexthop appends a nexthop: a device, a router on it, or a blackhole.
func appendNexthop(b []byte, n routes.Nexthop, ifindex uint32) []byte {
	b = appendNexthopHeader(b, familyByte(n.Family), routes.DefaultProtocol)
	b = appendAttr32(b, unix.NHA_ID, n.ID)
	if n.Device == "" {
		return appendAttr(b, unix.NHA_BLACKHOLE, nil)
	}
	b = appendAttr32(b, unix.NHA_OIF, ifindex)
	if n.Via.IsValid() {
		b = appendAttr(b, unix.NHA_GATEWAY, n.Via.AsSlice())
	}
	return b
}

// appendGroup appends a group: an array of struct nexthop_grp, in which a weight
// of 0 means 1.
func appendGroup(b []byte, g routes.Group) []byte {
	b = appendNexthopHeader(b, unix.AF_UNSPEC, routes.DefaultProtocol)
	b = appendAttr32(b, unix.NHA_ID, g.ID)
	members := make([]byte, 0, unix.SizeofNexthopGrp*len(g.Members))
	for _, id := range g.Members {
		members = native.AppendUint32(members, id)
		members = append(members, 0, 0, 0, 0)
	}
	return appendAttr(b, unix.NHA_GROUP, members)
}

// appendNexthopID appends the id of a nexthop or group to delete.
func appendNexthopID(b []byte, id uint32) []byte {
	return appendAttr32(appendNexthopHeader(b, unix.AF_UNSPEC, 0), unix.NHA_ID, id)
}

// appendRouteHeader appends struct rtmsg. The table is an attribute, because it
// may be above 255.
func appendRouteHeader(b []byte, p netip.Prefix, scope, typ byte, flags uint32) []byte {
	b = append(b, familyByte(routes.FamilyOf(p.Addr())), byte(p.Bits()), 0, 0, //nolint:gosec // at most 128
		unix.RT_TABLE_UNSPEC, routes.DefaultProtocol, scope, typ)
	return native.AppendUint32(b, flags)
}

// appendRoute appends a route to a nexthop object, one that ends the lookup, or a
// guard. A guard has no nexthop object, because the kernel cannot delete a route to
// a blackhole nexthop as it lists it (ip route flush: "no such process").
func appendRoute(b []byte, r routes.Route, table int) []byte {
	typ := routeType(r.Kind)
	b = appendRouteHeader(b, r.Prefix, unix.RT_SCOPE_UNIVERSE, typ, 0)
	b = appendRouteKey(b, r, table)
	if typ != unix.RTN_UNICAST {
		return b
	}
	b = appendAttr32(b, rtaNexthopID, r.Nexthop)
	if r.Source.IsValid() {
		b = appendAttr(b, unix.RTA_PREFSRC, r.Source.AsSlice())
	}
	// An MTU of 0 is set, too: without metrics, the kernel (6.18, fib_find_info_nh)
	// gives an IPv4 route those of any other route to the nexthop.
	return appendAttr(b, unix.RTA_METRICS, appendAttr32(nil, unix.RTAX_MTU, uint32(r.MTU))) //nolint:gosec // of routes.MTUs
}

// routeType returns the type of routes of a kind, of rtnetlink(7).
func routeType(k routes.RouteKind) byte {
	switch k {
	case routes.Throw:
		return unix.RTN_THROW
	case routes.Guard:
		return unix.RTN_BLACKHOLE
	default:
		return unix.RTN_UNICAST
	}
}

// appendRouteDeletion appends the key of a route of Meshway to delete. The kernel
// compares the protocol, so that no foreign route is deleted. The nexthop is
// omitted, because it may not exist any longer.
func appendRouteDeletion(b []byte, r routes.Route, table int) []byte {
	b = appendRouteHeader(b, r.Prefix, anyScope, unix.RTN_UNSPEC, 0)
	return appendRouteKey(b, r, table)
}

// appendRouteKey appends the attributes that distinguish routes. Without a metric
// the kernel uses its default, and deletes the route with the lowest.
func appendRouteKey(b []byte, r routes.Route, table int) []byte {
	b = appendAttr32(b, unix.RTA_TABLE, uint32(table)) //nolint:gosec // validated by the planner
	if metric := r.Kind.Metric(); metric != 0 {
		b = appendAttr32(b, unix.RTA_PRIORITY, metric)
	}
	return appendAttr(b, unix.RTA_DST, r.Prefix.Addr().AsSlice())
}

// appendRule appends struct fib_rule_hdr and attributes: "not fwmark Mark/Mark
// lookup table", or "iif In lookup table".
func appendRule(b []byte, r routes.Rule, table int) []byte {
	b = append(b, familyByte(r.Family), 0, 0, 0, unix.RT_TABLE_UNSPEC, 0, 0, unix.FR_ACT_TO_TBL)
	flags := uint32(unix.FIB_RULE_INVERT)
	if r.In != "" {
		flags = 0
	}
	b = native.AppendUint32(b, flags)
	b = appendAttr32(b, unix.FRA_TABLE, uint32(table))         //nolint:gosec // validated by the planner
	b = appendAttr32(b, unix.FRA_PRIORITY, uint32(r.Priority)) //nolint:gosec // validated by the planner
	if r.In != "" {
		b = appendAttr(b, unix.FRA_IIFNAME, append([]byte(r.In), 0))
	} else {
		b = appendAttr32(b, unix.FRA_FWMARK, r.Mark)
		b = appendAttr32(b, unix.FRA_FWMASK, r.Mark)
	}
	return appendAttr(b, unix.FRA_PROTOCOL, []byte{routes.DefaultProtocol})
}

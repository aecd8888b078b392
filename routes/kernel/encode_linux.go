package kernel

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/routes"
)

// anyScope in a deletion matches every scope (RT_SCOPE_NOWHERE).
const anyScope = 0xff

// rtaNexthopID is RTA_NH_ID of linux/rtnetlink.h, which package unix lacks.
const rtaNexthopID = 30

// native is the byte order of netlink.
var native = binary.NativeEndian //nolint:gochecknoglobals // a constant of the platform

// appendMessage appends one message whose body the function appends. The
// length is filled in afterwards.
func appendMessage(b []byte, typ uint16, flags uint16, seq uint32, body func([]byte) []byte) []byte {
	start := len(b)
	b = append(b, make([]byte, unix.SizeofNlMsghdr)...)
	b = body(b)
	header := b[start:]
	native.PutUint32(header, uint32(len(header))) //nolint:gosec // a few hundred bytes
	native.PutUint16(header[4:], typ)
	native.PutUint16(header[6:], flags)
	native.PutUint32(header[8:], seq)
	return b // bodies end aligned, since attributes are padded
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

// appendNexthopHeader is struct nhmsg: family, scope, protocol, reserved, flags.
func appendNexthopHeader(b []byte, family, protocol byte) []byte {
	return append(b, family, 0, protocol, 0, 0, 0, 0, 0)
}

// appendNexthop is a leg: through a device, to a router there, or a blackhole.
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

// appendGroup is a group: an array of struct nexthop_grp, whose weight counts from 0.
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

// appendNexthopID names a nexthop or group, to delete it.
func appendNexthopID(b []byte, id uint32) []byte {
	return appendAttr32(appendNexthopHeader(b, unix.AF_UNSPEC, 0), unix.NHA_ID, id)
}

// appendRouteHeader is struct rtmsg; the table is an attribute, for it may be above 255.
func appendRouteHeader(b []byte, p netip.Prefix, scope, typ byte, flags uint32) []byte {
	b = append(b, familyByte(routes.FamilyOf(p.Addr())), byte(p.Bits()), 0, 0, //nolint:gosec // at most 128
		unix.RT_TABLE_UNSPEC, routes.DefaultProtocol, scope, typ)
	return native.AppendUint32(b, flags)
}

// appendRoute leads a prefix to a nexthop object.
func appendRoute(b []byte, r routes.Route, table int) []byte {
	b = appendRouteHeader(b, r.Prefix, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST, 0)
	b = appendRouteKey(b, r.Prefix, table)
	b = appendAttr32(b, rtaNexthopID, r.Nexthop)
	if r.Source.IsValid() {
		b = appendAttr(b, unix.RTA_PREFSRC, r.Source.AsSlice())
	}
	return b
}

// appendRouteDeletion names our route, and no other: the kernel compares the
// protocol. The nexthop is left out, for it may be gone already.
func appendRouteDeletion(b []byte, prefix netip.Prefix, table int) []byte {
	b = appendRouteHeader(b, prefix, anyScope, unix.RTN_UNSPEC, 0)
	return appendRouteKey(b, prefix, table)
}

func appendRouteKey(b []byte, prefix netip.Prefix, table int) []byte {
	b = appendAttr32(b, unix.RTA_TABLE, uint32(table)) //nolint:gosec // validated by the planner
	return appendAttr(b, unix.RTA_DST, prefix.Addr().AsSlice())
}

// appendRule is struct fib_rule_hdr and attributes: not fwmark M/M lookup
// table, or iif D lookup table.
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

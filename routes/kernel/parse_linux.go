package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/routes"
)

// typeMask removes the flags (nested, network byte order) from an attribute's type.
const typeMask = 0x3fff

// ipv6Metric is the kernel's default metric of an IPv6 route (IP6_RT_PRIO_USER).
const ipv6Metric = 1024

var errTruncated = errors.New("netlink message is too short")

// attrs has the well-formed attributes of one message. There are few in a message and
// up to 100 000 messages in a dump, so that no index is made.
type attrs []byte

// parseAttrs returns those before the first that is not well-formed.
func parseAttrs(b []byte) (attrs, error) {
	rest := b
	for len(rest) >= unix.SizeofRtAttr {
		length := int(native.Uint16(rest))
		if length < unix.SizeofRtAttr || length > len(rest) {
			return b[:len(b)-len(rest)], errTruncated
		}
		rest = rest[aligned(length, len(rest)):]
	}
	return b[:len(b)-len(rest)], nil
}

// aligned returns where the attribute after one of a length begins.
func aligned(length, end int) int {
	return min((length+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1), end)
}

// value returns the value of the last attribute of a type, nil if there is none.
func (a attrs) value(typ uint16) []byte {
	var found []byte
	for len(a) >= unix.SizeofRtAttr {
		length := int(native.Uint16(a))
		if native.Uint16(a[2:])&typeMask == typ {
			found = a[unix.SizeofRtAttr:length]
		}
		a = a[aligned(length, len(a)):]
	}
	return found
}

// u32 returns 0 if the attribute is missing.
func (a attrs) u32(typ uint16) uint32 {
	if v := a.value(typ); len(v) >= 4 {
		return native.Uint32(v)
	}
	return 0
}

func (a attrs) addr(typ uint16) netip.Addr {
	addr, _ := netip.AddrFromSlice(a.value(typ)) // zero when missing
	return addr
}

// router returns the router of a route, zero if the destination is on the link.
// RTA_VIA is a router of another family than the route's, preceded by its family.
func (a attrs) router() netip.Addr {
	const familySize = 2 // struct rtvia
	if via := a.value(unix.RTA_VIA); len(via) > familySize {
		addr, _ := netip.AddrFromSlice(via[familySize:])
		return addr
	}
	return a.addr(unix.RTA_GATEWAY)
}

func (a attrs) text(typ uint16) string {
	text, _, _ := bytes.Cut(a.value(typ), []byte{0})
	return string(text)
}

// split splits a message into its fixed header of n bytes and its attributes.
func split(b []byte, n int) ([]byte, attrs, error) {
	if len(b) < n {
		return nil, nil, errTruncated
	}
	a, err := parseAttrs(b[n:])
	return b[:n], a, err
}

func family(af byte) routes.Family {
	if af == unix.AF_INET6 {
		return routes.IPv6
	}
	return routes.IPv4
}

// nexthop is a nexthop object of any kind and protocol.
type nexthop struct {
	id       uint32
	family   routes.Family
	protocol int
	ifindex  int
	via      netip.Addr
	members  []uint32 // of a group, sorted
}

func parseNexthop(b []byte) (nexthop, error) {
	header, a, err := split(b, unix.SizeofNhmsg)
	if err != nil {
		return nexthop{}, err
	}
	n := nexthop{
		id:       a.u32(unix.NHA_ID),
		family:   family(header[0]),
		protocol: int(header[2]),
		ifindex:  int(a.u32(unix.NHA_OIF)),
		via:      a.addr(unix.NHA_GATEWAY),
	}
	for group := a.value(unix.NHA_GROUP); len(group) >= unix.SizeofNexthopGrp; group = group[unix.SizeofNexthopGrp:] {
		n.members = append(n.members, native.Uint32(group))
	}
	slices.Sort(n.members)
	return n, nil
}

// route is a route of any protocol.
type route struct {
	routes.Route
	table    int
	protocol int
	kind     byte // of rtnetlink(7): unicast, blackhole, …
	ifindex  int
	plain    bool // has the default metric and type of service, as Meshway's routes to lanes do
	precedes bool // has a lower metric than those of Meshway
	cloned   bool // a cache entry, not a route
	via      netip.Addr
}

func parseRoute(b []byte) (route, error) {
	header, a, err := split(b, unix.SizeofRtMsg)
	if err != nil {
		return route{}, err
	}
	dst := a.addr(unix.RTA_DST)
	metric := uint32(0)
	if header[0] == unix.AF_INET6 {
		metric = ipv6Metric
	}
	if !dst.IsValid() { // a default route has no destination
		dst = netip.IPv4Unspecified()
		if header[0] == unix.AF_INET6 {
			dst = netip.IPv6Unspecified()
		}
	}
	r := route{
		table:    int(a.u32(unix.RTA_TABLE)),
		protocol: int(header[5]),
		kind:     header[7],
		ifindex:  int(a.u32(unix.RTA_OIF)),
		plain:    header[3] == 0 && a.u32(unix.RTA_PRIORITY) == metric,
		precedes: a.u32(unix.RTA_PRIORITY) < metric,
		cloned:   native.Uint32(header[8:])&unix.RTM_F_CLONED != 0,
	}
	r.Prefix = netip.PrefixFrom(dst, int(header[1]))
	r.Nexthop = a.u32(rtaNexthopID)
	r.Source = a.addr(unix.RTA_PREFSRC)
	r.via = a.router()
	if metrics, err := parseAttrs(a.value(unix.RTA_METRICS)); err == nil {
		r.MTU = int(metrics.u32(unix.RTAX_MTU))
	}
	if r.kind == unix.RTN_THROW {
		r.Kind = routes.Throw
	}
	switch priority := a.u32(unix.RTA_PRIORITY); {
	case header[3] != 0:
	case r.kind == unix.RTN_BLACKHOLE && priority == routes.GuardMetric:
		r.Kind = routes.Guard
	case r.kind == unix.RTN_UNICAST && priority == routes.StandbyMetric:
		r.Kind = routes.Standby
	}
	if !r.Prefix.IsValid() {
		return route{}, fmt.Errorf("route to %s/%d: %w", dst, header[1], errTruncated)
	}
	return r, nil
}

// ours reports whether Meshway created the route: its table and protocol match,
// and it has no attribute that Meshway never sets.
func (r route) ours(table int) bool {
	return r.table == table && r.protocol == routes.DefaultProtocol && (r.plain || r.Kind.Metric() != 0)
}

// rule is a policy rule of any protocol.
type rule struct {
	routes.Rule
	table    int
	protocol int
	plain    bool // has only the selectors of a routes.Rule
	foreign  routes.ForeignRule
	decides  bool // looks up a table, drops packets or skips rules
}

func parseRule(b []byte) (rule, error) {
	const header = 12 // struct fib_rule_hdr
	h, a, err := split(b, header)
	if err != nil {
		return rule{}, err
	}
	r := rule{table: int(a.u32(unix.FRA_TABLE))}
	r.Family = family(h[0])
	r.Priority = int(a.u32(unix.FRA_PRIORITY))
	r.Mark = a.u32(unix.FRA_FWMARK)
	if p := a.value(unix.FRA_PROTOCOL); len(p) == 1 {
		r.protocol = int(p[0])
	}
	r.In = a.text(unix.FRA_IIFNAME)
	not := native.Uint32(h[8:])&unix.FIB_RULE_INVERT != 0
	selector := a.selector(h)
	r.plain = h[7] == unix.FR_ACT_TO_TBL && not == (r.In == "") && (r.Mark == 0 || r.In == "") &&
		selector == routes.Selector{In: r.In, Mark: r.Mark, Mask: r.Mark}
	drop := map[byte]string{unix.FR_ACT_BLACKHOLE: "blackhole", unix.FR_ACT_UNREACHABLE: "unreachable", unix.FR_ACT_PROHIBIT: "prohibit"}[h[7]]
	r.decides = h[7] == unix.FR_ACT_TO_TBL || h[7] == unix.FR_ACT_GOTO || drop != ""
	r.foreign = routes.ForeignRule{
		Family: r.Family, Priority: r.Priority, Table: r.table, Drop: drop, Goto: int(a.u32(unix.FRA_GOTO)), Not: not, Selector: selector,
	}
	if p := a.value(unix.FRA_SUPPRESS_PREFIXLEN); len(p) == 4 {
		r.foreign.Shortest = int(int32(native.Uint32(p))) + 1 //nolint:gosec // -1: none
	}
	return r, nil
}

// selector returns what packets a rule is for. h is its struct fib_rule_hdr.
func (a attrs) selector(h []byte) routes.Selector {
	s := routes.Selector{
		In: a.text(unix.FRA_IIFNAME), Out: a.text(unix.FRA_OIFNAME), Mark: a.u32(unix.FRA_FWMARK), Mask: a.u32(unix.FRA_FWMASK), TOS: h[3],
		FromPorts: a.ports(unix.FRA_SPORT_RANGE), ToPorts: a.ports(unix.FRA_DPORT_RANGE), More: a.selectMore(),
	}
	if from := a.addr(unix.FRA_SRC); from.IsValid() {
		s.From = netip.PrefixFrom(from, int(h[2]))
	}
	if to := a.addr(unix.FRA_DST); to.IsValid() {
		s.To = netip.PrefixFrom(to, int(h[1]))
	}
	if v := a.value(unix.FRA_UID_RANGE); len(v) == 8 {
		s.Users = routes.Range{Limited: true, First: native.Uint32(v), Last: native.Uint32(v[4:])}
	}
	if v := a.value(unix.FRA_IP_PROTO); len(v) == 1 {
		s.Protocol = v[0]
	}
	if v := a.value(unix.FRA_TUN_ID); len(v) == 8 {
		s.TunnelID = binary.BigEndian.Uint64(v)
	}
	if v := a.value(unix.FRA_L3MDEV); len(v) == 1 {
		s.L3Master = v[0] != 0
	}
	if v := a.value(fraDSCP); len(v) == 1 {
		s.DSCP = routes.Bits{Limited: true, Value: v[0], Mask: allDSCP}
		if mask := a.value(fraDSCPMask); len(mask) == 1 {
			s.DSCP.Mask = mask[0]
		}
	}
	return s
}

// ports returns a struct fib_rule_port_range.
func (a attrs) ports(typ uint16) routes.Range {
	v := a.value(typ)
	if len(v) != 4 {
		return routes.Range{}
	}
	return routes.Range{Limited: true, First: uint32(native.Uint16(v)), Last: uint32(native.Uint16(v[2:]))}
}

// Attributes of linux/fib_rules.h that package unix does not have.
const (
	fraDSCP         = 0x19
	fraFromPortMask = 0x1c
	fraToPortMask   = 0x1d
	fraDSCPMask     = 0x1e

	allDSCP = 0x3f
)

// selectMore reports whether a rule has a selector that routes.Selector does not have.
// Those of newer kernels follow that of the ports; its mask is one that selects all bits
// unless another one was set.
func (a attrs) selectMore() bool {
	for len(a) >= unix.SizeofRtAttr {
		length, typ := int(native.Uint16(a)), native.Uint16(a[2:])&typeMask
		switch value := a[unix.SizeofRtAttr:length]; typ {
		case unix.FRA_SUPPRESS_IFGROUP:
			return true
		case fraDSCP, fraDSCPMask:
		case fraFromPortMask, fraToPortMask:
			if !bytes.Equal(value, []byte{0xff, 0xff}) {
				return true
			}
		default:
			if typ > unix.FRA_DPORT_RANGE {
				return true
			}
		}
		a = a[aligned(length, len(a)):]
	}
	return false
}

func (r rule) ours(table int) bool {
	return r.table == r.Table(table) && r.protocol == routes.DefaultProtocol && r.plain
}

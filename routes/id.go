package routes

// The ids of Meshway's nexthop objects. The low bit is the family (0 IPv4, 1
// IPv6), because the kernel requires nexthops and groups of the route's family:
//
//	NexthopBase + 0x0000 … 0x0001   blackhole
//	NexthopBase + 0x0002 … 0x0081   lanes:    0x0002 + 2·lane + family
//	NexthopBase + 0x0082 … 0x00ff   siblings: 0x0082 + 2·index + family
//	NexthopBase + 0x0100 … 0xff7f   groups:   0x0100 + 2·ordinal + family
//	NexthopBase + 0xff80 … 0xffff   hosts:    0xff80 + 2·lane + family
//
// Host nexthops are through the same devices as lane nexthops. They are for the
// routes to the hosts at the other end of a lane, whose preferred source differs
// from that of the groups: Linux keeps the preferred source of an IPv6 route
// with its nexthop object, for all routes that use it (DESIGN.md).
const (
	nexthopLast = NexthopBase + 0xffff
	laneBase    = NexthopBase + 0x0002
	siblingBase = NexthopBase + 0x0082
	groupBase   = NexthopBase + 0x0100
	hostBase    = NexthopBase + 0xff80

	// MaxLane is the highest lane that has a nexthop id.
	MaxLane = (siblingBase - laneBase - 2) / 2
	// MaxSibling is the highest index of a gateway of the own datacenter that
	// has a nexthop id.
	MaxSibling = (groupBase - siblingBase - 2) / 2
	// MaxOrdinal is the highest datacenter ordinal that has a group id.
	MaxOrdinal = (hostBase - groupBase - 2) / 2
)

// BlackholeID returns the id of the nexthop that drops all packets. It is 0,
// which is not a valid id, for an unknown family.
func BlackholeID(family Family) uint32 { return nexthopID(NexthopBase, 0, 0, family) }

// LaneNexthopID returns the id of the nexthop through a lane's device. It is 0,
// which is not a valid id, unless 0 ≤ lane ≤ MaxLane and the family is known.
func LaneNexthopID(lane int, family Family) uint32 { return nexthopID(laneBase, lane, MaxLane, family) }

// HostNexthopID returns the id of the nexthop through a lane's device for routes
// to the hosts at its other end, which share no nexthop object with groups. It
// is 0, which is not a valid id, unless 0 ≤ lane ≤ MaxLane and the family is known.
func HostNexthopID(lane int, family Family) uint32 { return nexthopID(hostBase, lane, MaxLane, family) }

// SiblingNexthopID returns the id of the nexthop to a sibling, given its index.
// It is 0, which is not a valid id, unless 0 ≤ index ≤ MaxSibling and the family
// is known.
func SiblingNexthopID(index int, family Family) uint32 {
	return nexthopID(siblingBase, index, MaxSibling, family)
}

// GroupID returns the id of the group of nexthops to a datacenter. When the
// ordinal of a datacenter changes, all its routes are rewritten. The id is 0,
// which is not valid, unless 0 ≤ ordinal ≤ MaxOrdinal and the family is known.
func GroupID(ordinal int, family Family) uint32 {
	return nexthopID(groupBase, ordinal, MaxOrdinal, family)
}

// OwnNexthop reports whether an id is in the range that Meshway uses. The nexthop
// is Meshway's only if its protocol is DefaultProtocol, too.
func OwnNexthop(id uint32) bool { return id >= NexthopBase && id <= nexthopLast }

func nexthopID(base uint32, n, last int, family Family) uint32 {
	if n < 0 || n > last || (family != IPv4 && family != IPv6) {
		return 0
	}
	id := base + 2*uint32(n) //nolint:gosec // n is at most MaxOrdinal
	if family == IPv6 {
		id++
	}
	return id
}

package routes

import "slices"

// The ids of Meshway's nexthop objects. The low bit is the family (0 IPv4, 1
// IPv6), because the kernel requires nexthops and groups of the route's family:
//
//	NexthopBase + 0x0000 … 0x0001   blackhole
//	NexthopBase + 0x0002 … 0x0081   lanes:    0x0002 + 2·lane + family
//	NexthopBase + 0x0082 … 0x00ff   siblings: 0x0082 + 2·index + family
//	NexthopBase + 0x0100 … 0xbfff   groups:   0x0100 + 2·ordinal + family
//	NexthopBase + 0xc000 … 0xff7f   lanes of routes with an MTU of their own:
//	                                0xc000 + 128·(index of the MTU) + 2·lane + family
//	NexthopBase + 0xff80 … 0xffff   hosts:    0xff80 + 2·lane + family
//
// Host nexthops are through the same devices as lane nexthops. They are for the
// routes to the hosts at the other end of a lane, whose preferred source differs
// from that of the groups: Linux keeps the preferred source of an IPv6 route
// with its nexthop object, for all routes that use it (DESIGN.md). Routes of
// different MTUs have separate ones for the same reason, in both families.
const (
	nexthopLast = NexthopBase + 0xffff
	laneBase    = NexthopBase + 0x0002
	siblingBase = NexthopBase + 0x0082
	groupBase   = NexthopBase + 0x0100
	narrowBase  = NexthopBase + 0xc000
	hostBase    = NexthopBase + 0xff80

	// MaxLane is the highest lane that has a nexthop id.
	MaxLane = (siblingBase - laneBase - 2) / 2
	// MaxSibling is the highest index of a gateway of the own datacenter that
	// has a nexthop id.
	MaxSibling = (groupBase - siblingBase - 2) / 2
	// MaxOrdinal is the highest datacenter ordinal that has a group id.
	MaxOrdinal = (narrowBase - groupBase - 2) / 2
)

// BlackholeID returns the id of the nexthop that drops all packets. It is 0,
// which is not a valid id, for an unknown family.
func BlackholeID(family Family) uint32 { return nexthopID(NexthopBase, 0, 0, family) }

// LaneNexthopID returns the id of the nexthop through a lane's device. It is 0,
// which is not a valid id, unless 0 ≤ lane ≤ MaxLane and the family is known.
func LaneNexthopID(lane int, family Family) uint32 { return nexthopID(laneBase, lane, MaxLane, family) }

// NarrowNexthopID returns the id of the nexthop through a lane's device for routes
// with an MTU, which must be one of MTUs. It is 0, which is not a valid id, for any
// other MTU, lane or family.
func NarrowNexthopID(mtu, lane int, family Family) uint32 {
	index, ok := slices.BinarySearch(routeMTUs(), mtu)
	if !ok {
		return 0
	}
	return nexthopID(narrowBase+uint32(index)*lanesPerMTU, lane, MaxLane, family) //nolint:gosec // below 127
}

// lanesPerMTU is the number of ids of one MTU: of all lanes in two families.
const lanesPerMTU = 2 * (MaxLane + 1)

// MTUs returns the MTUs that a route through a tunnel may have, ascending, up to
// that of the tunnel's interface, which is always the last one. WireGuard pads
// packets to multiples of 16 bytes, so that others between do not differ.
func MTUs(tunnel int) []int {
	sizes := routeMTUs()
	end, _ := slices.BinarySearch(sizes, tunnel)
	return append(sizes[:end], tunnel)
}

// RouteMTU returns the largest MTU that a route through a tunnel can have and that
// is not above mtu; at least 1280.
func RouteMTU(mtu int) int {
	sizes := routeMTUs()
	above, _ := slices.BinarySearch(sizes, mtu+1)
	return sizes[max(above-1, 0)]
}

// routeMTUs are the MTUs for which there are nexthop ids: 16 bytes apart up to
// 2288, 128 bytes apart up to 10240.
func routeMTUs() []int {
	var sizes []int
	for n := 1280; n < 2304; n += 16 {
		sizes = append(sizes, n)
	}
	for n := 2304; n <= 10240; n += 128 {
		sizes = append(sizes, n)
	}
	return sizes
}

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

package routes_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/routes"
)

func TestNexthopIDsAreDistinctAndInRange(t *testing.T) {
	seen := map[uint32]bool{}
	for _, f := range []routes.Family{routes.IPv4, routes.IPv6} {
		ids := []uint32{routes.BlackholeID(f)}
		for lane := range routes.MaxLane + 1 {
			ids = append(ids, routes.LaneNexthopID(lane, f), routes.HostNexthopID(lane, f))
		}
		for index := range routes.MaxSibling + 1 {
			ids = append(ids, routes.SiblingNexthopID(index, f))
		}
		for ordinal := range routes.MaxOrdinal + 1 {
			ids = append(ids, routes.GroupID(ordinal, f))
		}
		for _, mtu := range routes.MTUs(1 << 16)[:127] {
			for lane := range routes.MaxLane + 1 {
				ids = append(ids, routes.NarrowNexthopID(mtu, lane, f))
			}
		}
		for _, id := range ids {
			assert.False(t, seen[id], "%#x twice", id)
			assert.True(t, routes.OwnNexthop(id), "%#x", id)
			seen[id] = true
		}
	}
	assert.Len(t, seen, 0x10000, "the whole range")
}

func TestNexthopIDsOutOfBoundsAreZero(t *testing.T) {
	for name, id := range map[string]uint32{
		"lane below":     routes.LaneNexthopID(-1, routes.IPv4),
		"lane above":     routes.LaneNexthopID(routes.MaxLane+1, routes.IPv4),
		"host below":     routes.HostNexthopID(-1, routes.IPv6),
		"host above":     routes.HostNexthopID(routes.MaxLane+1, routes.IPv6),
		"sibling below":  routes.SiblingNexthopID(-1, routes.IPv4),
		"sibling above":  routes.SiblingNexthopID(routes.MaxSibling+1, routes.IPv6),
		"ordinal below":  routes.GroupID(-1, routes.IPv6),
		"ordinal above":  routes.GroupID(routes.MaxOrdinal+1, routes.IPv6),
		"MTU between":    routes.NarrowNexthopID(1290, 0, routes.IPv4),
		"MTU above":      routes.NarrowNexthopID(1<<16, 0, routes.IPv4),
		"narrow above":   routes.NarrowNexthopID(1280, routes.MaxLane+1, routes.IPv6),
		"unknown family": routes.BlackholeID(5),
	} {
		assert.Zero(t, id, name)
	}
	assert.False(t, routes.OwnNexthop(routes.NexthopBase-1))
	assert.False(t, routes.OwnNexthop(routes.NexthopBase+0x10000))
}

func TestForwardingSysctlsAreSortedAndLoosenRPFilterOnTheDevices(t *testing.T) {
	assert.Equal(t, []routes.Sysctl{
		{Key: "net/ipv4/conf/mesh0/rp_filter", Value: "2"},
		{Key: "net/ipv4/conf/mesh1/rp_filter", Value: "2"},
		{Key: "net/ipv4/fib_multipath_hash_policy", Value: "1"},
		{Key: "net/ipv4/ip_forward", Value: "1"},
		{Key: "net/ipv4/nexthop_compat_mode", Value: "0"},
		{Key: "net/ipv6/conf/all/forwarding", Value: "1"},
		{Key: "net/ipv6/fib_multipath_hash_policy", Value: "1"},
	}, routes.ForwardingSysctls([]string{"mesh1", "mesh0"}))
}

func TestTheLastMTUIsThatOfTheInterface(t *testing.T) {
	assert.Equal(t, []int{1280}, routes.MTUs(1280))
	assert.Equal(t, []int{1280, 1296, 1300}, routes.MTUs(1300))
	for mtu, want := range map[int]int{900: 1280, 1280: 1280, 1295: 1280, 1296: 1296, 20000: 10240} {
		assert.Equal(t, want, routes.RouteMTU(mtu))
	}
	for _, tunnel := range []int{1280, 1420, 1500, 8921, 65455} {
		sizes := routes.MTUs(tunnel)
		assert.IsIncreasing(t, append([]int{0}, sizes...))
		assert.Equal(t, tunnel, sizes[len(sizes)-1])
	}
}

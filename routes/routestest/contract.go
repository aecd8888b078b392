package routestest

import (
	"context"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/routes"
)

// World is a kernel with devices mesh0 and mesh1, each with an address (10.1.0.1
// and fd00:1::1), and the operations of other programs on it, each of which makes Watch
// wake. *Kernel implements World.
type World interface {
	routes.Kernel
	Devices
	Tables
	Nexthops
}

// Devices are the devices of a host, as other programs change them.
type Devices interface {
	// AddLink adds a device with an address.
	AddLink(device string, prefix netip.Prefix)
	// DownDevice sets a device down.
	DownDevice(name string)
	SetSysctl(s routes.Sysctl)
}

// Tables are the routing tables and rules of a host, as other programs change them.
type Tables interface {
	AddRoute(table int, prefix netip.Prefix, device string, protocol int)
	DeleteRoute(table int, prefix netip.Prefix)
	// AddRule adds a rule that looks up the given table.
	AddRule(lookup int, rule routes.Rule)
	DeleteRule(table int, rule routes.Rule)
}

// Nexthops are the nexthops of a host, as other programs change them.
type Nexthops interface {
	AddNexthop(id uint32, protocol int)
	DeleteNexthop(id uint32)
}

const (
	table = routes.DefaultTable
	boot  = 3 // RTPROT_BOOT: the default protocol of ip(8)
)

// contract returns the tests that every routes.Kernel passes, by name.
func contract() map[string]func(*testing.T, World) {
	return map[string]func(*testing.T, World){
		"what is applied is observed":                 appliedIsObserved,
		"a second apply writes nothing":               secondApplyIsEmpty,
		"without prune nothing is deleted":            nothingDeletedWithoutPrune,
		"a nexthop may be a router on the link":       routerOnTheLink,
		"an unreachable router stops no other entry":  routerOnNoLink,
		"a lost nexthop leaves its groups":            lostNexthopLeavesGroups,
		"guards remain when all devices are gone":     guardsRemain,
		"a standby route applies without its lanes":   standbyApplies,
		"a group turns into a blackhole and back":     groupTurnsIntoBlackhole,
		"one bad entry does not stop the others":      badEntryDoesNotStopOthers,
		"foreign routes survive everything":           foreignRoutesSurvive,
		"a foreign route is not overwritten":          foreignRouteIsNotOverwritten,
		"deleting a foreign route is a no-op":         foreignRouteIsNotDeleted,
		"a foreign nexthop is reported and survives":  foreignNexthopSurvives,
		"deleting a missing entry is no error":        deletingTwiceIsFine,
		"foreign deletions wake and are repaired":     foreignDeletionsAreRepaired,
		"own writes do not wake":                      ownWritesDoNotWake,
		"lookup returns prefix, nexthop and source":   lookupReports,
		"remove restores sysctls that are unchanged":  sysctlsAreRestored,
		"remove deletes all own entries":              removalLeavesNothing,
		"a foreign source address is refused":         foreignSourceIsRefused,
		"a route moves to another nexthop in place":   routeMoves,
		"a throw route leaves a range to later rules": throwRouteEndsLookup,
		"routes to nodes are in their own table":      nodeRoutes,
		"a rule with another table is not observed":   ruleWithAnotherTable,
	}
}

// Contract runs the contract tests of a routes.Kernel, each in a new world.
func Contract(t *testing.T, world func(t *testing.T) World) {
	t.Helper()
	for name, test := range contract() {
		t.Run(name, func(t *testing.T) { test(t, world(t)) })
	}
}

// Apply applies want with a new routes.Applier.
func Apply(ctx context.Context, k routes.Kernel, want routes.Config, prune bool) (routes.Observed, error) {
	return (&routes.Applier{Kernel: k}).Apply(ctx, want, prune)
}

// Sample returns a configuration with two lanes to a first datacenter, one lane
// to a second, and none to a third, which is unreachable. It has both families.
func Sample() routes.Config {
	lane0, lane1 := routes.LaneNexthopID(0, routes.IPv4), routes.LaneNexthopID(1, routes.IPv4)
	lane0v6, blackhole := routes.LaneNexthopID(0, routes.IPv6), routes.BlackholeID(routes.IPv4)
	first, second, third := routes.GroupID(0, routes.IPv4), routes.GroupID(1, routes.IPv4), routes.GroupID(2, routes.IPv4)
	firstv6 := routes.GroupID(0, routes.IPv6)
	source := netip.MustParseAddr("10.1.0.1")
	return routes.Config{
		Table: table,
		Rules: []routes.Rule{sampleRule(routes.IPv4), sampleRule(routes.IPv6)},
		Nexthops: []routes.Nexthop{
			{ID: blackhole, Family: routes.IPv4},
			{ID: lane0, Family: routes.IPv4, Device: "mesh0"},
			{ID: lane0v6, Family: routes.IPv6, Device: "mesh0"},
			{ID: lane1, Family: routes.IPv4, Device: "mesh1"},
		},
		Groups: []routes.Group{
			{ID: first, Family: routes.IPv4, Members: []uint32{lane0, lane1}},
			{ID: firstv6, Family: routes.IPv6, Members: []uint32{lane0v6}},
			{ID: second, Family: routes.IPv4, Members: []uint32{lane1}},
			{ID: third, Family: routes.IPv4, Members: []uint32{blackhole}},
		},
		Routes: []routes.Route{
			{Prefix: netip.MustParsePrefix("10.2.0.0/16"), Nexthop: first, Source: source},
			{Prefix: netip.MustParsePrefix("10.3.0.0/16"), Nexthop: second, MTU: 1328},
			{Prefix: netip.MustParsePrefix("10.4.0.0/16"), Nexthop: third},
			{Prefix: netip.MustParsePrefix("fd00:2::/48"), Nexthop: firstv6, Source: netip.MustParseAddr("fd00:1::1")},
		},
		Sysctls: []routes.Sysctl{
			{Key: "net/ipv4/conf/mesh0/rp_filter", Value: "2"},
			{Key: "net/ipv4/nexthop_compat_mode", Value: "0"},
		},
	}
}

func sampleRule(f routes.Family) routes.Rule {
	return routes.Rule{Family: f, Priority: routes.DefaultRulePriority, Mark: routes.DefaultMark}
}

// apply applies want and requires that it is observed afterwards.
func apply(t *testing.T, w World, want routes.Config) routes.Observed {
	t.Helper()
	got, err := Apply(t.Context(), w, want, true)
	require.NoError(t, err)
	require.Equal(t, want, got.Config)
	return got
}

func observe(t *testing.T, w World) routes.Observed {
	t.Helper()
	got, err := w.Observe(t.Context(), table)
	require.NoError(t, err)
	return got
}

// counter counts wakes.
type counter struct{ n atomic.Int64 }

func (c *counter) wake() { c.n.Add(1) }

// requireWake requires that act causes a wake.
func (c *counter) requireWake(t *testing.T, act func()) {
	t.Helper()
	before := c.n.Load()
	act()
	require.Eventually(t, func() bool { return c.n.Load() > before }, 5*time.Second, time.Millisecond)
}

// watch watches until the test ends.
func watch(t *testing.T, w World) *counter {
	t.Helper()
	c := &counter{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Watch(ctx, c.wake) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done)
	})
	require.Eventually(t, func() bool { return c.n.Load() > 0 }, 5*time.Second, time.Millisecond)
	return c
}

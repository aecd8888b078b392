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

// World is a kernel with devices mesh0 and mesh1, each with an address
// (10.1.0.1 and fd00:1::1), and the hands of others in it. *Kernel is one.
type World interface {
	routes.Kernel
	AddLink(device string, prefix netip.Prefix)
	DownDevice(name string)
	AddRoute(table int, prefix netip.Prefix, device string, protocol int)
	DeleteRoute(table int, prefix netip.Prefix)
	AddRule(leadsTo int, rule routes.Rule)
	DeleteRule(table int, rule routes.Rule)
	AddNexthop(id uint32, protocol int)
	DeleteNexthop(id uint32)
	SetSysctl(s routes.Sysctl)
}

const (
	table = routes.DefaultTable
	boot  = 3 // RTPROT_BOOT: what ip gives a route that names no protocol
)

// promises are what every routes.Kernel keeps.
func promises() map[string]func(*testing.T, World) {
	return map[string]func(*testing.T, World){
		"what is applied is observed":                 appliedIsObserved,
		"a second apply writes nothing":               secondApplyIsEmpty,
		"without prune nothing is deleted":            nothingDeletedWithoutPrune,
		"a leg may lead to a router on the link":      routerOnTheLink,
		"a router on no link hides no other leg":      routerOnNoLink,
		"a lost leg leaves its groups":                lostNexthopLeavesGroups,
		"a group turns into a blackhole and back":     groupTurnsIntoBlackhole,
		"one bad entry does not hide the others":      badEntryDoesNotHideOthers,
		"foreign routes survive everything":           foreignRoutesSurvive,
		"a foreign route is not overwritten":          foreignRouteIsNotOverwritten,
		"a deletion spares what is another's":         deletionSparesOthers,
		"a foreign nexthop is named and survives":     foreignNexthopSurvives,
		"deleting what is gone is no error":           deletingTwiceIsFine,
		"foreign deletions wake and are repaired":     foreignDeletionsAreRepaired,
		"own writes do not wake":                      ownWritesDoNotWake,
		"lookup tells prefix, leg and source":         lookupReports,
		"sysctls are put back if still ours":          sysctlsArePutBack,
		"removal leaves nothing of ours":              removalLeavesNothing,
		"a source that is not ours is refused":        foreignSourceIsRefused,
		"a route moves to another nexthop in place":   routeMoves,
		"ways to nodes are in a table of their own":   nodeRoutes,
		"a rule to another table is not taken for it": ruleToAnotherTable,
	}
}

// Contract runs every promise against a fresh world.
func Contract(t *testing.T, world func(t *testing.T) World) {
	t.Helper()
	for name, promise := range promises() {
		t.Run(name, func(t *testing.T) { promise(t, world(t)) })
	}
}

// Sample is a configuration with two lanes to one datacenter, one lane to a
// second, and a third that cannot be reached; both families.
func Sample() routes.Config {
	leg0, leg1 := routes.LaneNexthopID(0, routes.IPv4), routes.LaneNexthopID(1, routes.IPv4)
	leg0v6, hole := routes.LaneNexthopID(0, routes.IPv6), routes.BlackholeID(routes.IPv4)
	first, second, third := routes.GroupID(0, routes.IPv4), routes.GroupID(1, routes.IPv4), routes.GroupID(2, routes.IPv4)
	firstv6 := routes.GroupID(0, routes.IPv6)
	source := netip.MustParseAddr("10.1.0.1")
	return routes.Config{
		Table: table,
		Rules: []routes.Rule{sampleRule(routes.IPv4), sampleRule(routes.IPv6)},
		Nexthops: []routes.Nexthop{
			{ID: hole, Family: routes.IPv4},
			{ID: leg0, Family: routes.IPv4, Device: "mesh0"},
			{ID: leg0v6, Family: routes.IPv6, Device: "mesh0"},
			{ID: leg1, Family: routes.IPv4, Device: "mesh1"},
		},
		Groups: []routes.Group{
			{ID: first, Family: routes.IPv4, Members: []uint32{leg0, leg1}},
			{ID: firstv6, Family: routes.IPv6, Members: []uint32{leg0v6}},
			{ID: second, Family: routes.IPv4, Members: []uint32{leg1}},
			{ID: third, Family: routes.IPv4, Members: []uint32{hole}},
		},
		Routes: []routes.Route{
			{Prefix: netip.MustParsePrefix("10.2.0.0/16"), Nexthop: first, Source: source},
			{Prefix: netip.MustParsePrefix("10.3.0.0/16"), Nexthop: second},
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

// apply makes the world what want says and requires that it then is.
func apply(t *testing.T, w World, want routes.Config) routes.Observed {
	t.Helper()
	got, err := routes.Apply(t.Context(), w, want, true)
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

// requireWake requires that the act wakes, once it is listened.
func (c *counter) requireWake(t *testing.T, act func()) {
	t.Helper()
	before := c.n.Load()
	act()
	require.Eventually(t, func() bool { return c.n.Load() > before }, 5*time.Second, time.Millisecond)
}

// watch listens until the test ends.
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

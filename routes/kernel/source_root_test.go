//go:build linux && root

package kernel_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/routestest"
)

// Linux caches one IPv6 route, with its preferred source, for each nexthop object
// and processor. The order in which routes through the same device are looked up
// must not change their sources.
func TestHostNexthopsAndGroupsOfALaneKeepTheirOwnSources(t *testing.T) {
	host := routes.Route{
		Prefix: netip.MustParsePrefix("fd77::2/128"), Nexthop: routes.HostNexthopID(0, routes.IPv6), Source: netip.MustParseAddr("fd77::1"),
	}
	group := routes.Group{ID: routes.GroupID(0, routes.IPv6), Family: routes.IPv6, Members: []uint32{routes.LaneNexthopID(0, routes.IPv6)}}
	remote := routes.Route{
		Prefix: netip.MustParsePrefix("fd00:2::/48"), Nexthop: group.ID, Source: netip.MustParseAddr("fd00:1::1"),
	}
	for name, order := range map[string][]routes.Route{"host first": {host, remote}, "group first": {remote, host}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			oneProcessor(t)
			w.addIPv6("fd77::1/128", "mesh0")
			_, err := routestest.Apply(t.Context(), w, routes.Config{
				Table: routes.DefaultTable,
				Rules: []routes.Rule{{Family: routes.IPv6, Priority: routes.DefaultRulePriority, Mark: routes.DefaultMark}},
				Nexthops: []routes.Nexthop{
					{ID: group.Members[0], Family: routes.IPv6, Device: "mesh0"},
					{ID: host.Nexthop, Family: routes.IPv6, Device: "mesh0"},
				},
				Groups: []routes.Group{group}, Routes: []routes.Route{remote, host},
			}, true)
			require.NoError(t, err)
			for _, r := range append(order, order...) {
				assert.Equal(t, r.Source, sourceTo(t, r.Prefix.Addr()), r.Prefix)
			}
		})
	}
}

func TestDeletingARouteKeepsTheSourcesOfOthers(t *testing.T) {
	w := newWorld(t)
	oneProcessor(t)
	w.addIPv6("fd77::1/128", "mesh0") // without a preferred source the kernel selects fd00:1::1, by the longest common prefix
	group := routes.Group{ID: routes.GroupID(0, routes.IPv6), Family: routes.IPv6, Members: []uint32{routes.LaneNexthopID(0, routes.IPv6)}}
	source := netip.MustParseAddr("fd77::1")
	want := routes.Config{
		Table:    routes.DefaultTable,
		Rules:    []routes.Rule{{Family: routes.IPv6, Priority: routes.DefaultRulePriority, Mark: routes.DefaultMark}},
		Nexthops: []routes.Nexthop{{ID: group.Members[0], Family: routes.IPv6, Device: "mesh0"}},
		Groups:   []routes.Group{group},
	}
	for _, prefix := range []string{"fd00:2::/48", "fd00:3::/48"} {
		want.Routes = append(want.Routes, routes.Route{Prefix: netip.MustParsePrefix(prefix), Nexthop: group.ID, Source: source})
	}
	_, err := routestest.Apply(t.Context(), w, want, true)
	require.NoError(t, err)
	require.Equal(t, source, sourceTo(t, netip.MustParseAddr("fd00:2::1")))
	want.Routes = want.Routes[1:]
	_, err = routestest.Apply(t.Context(), w, want, true)
	require.NoError(t, err)
	assert.Equal(t, source, sourceTo(t, netip.MustParseAddr("fd00:3::1")))
}

// oneProcessor binds this thread, which ends with the test, to the first processor
// that it may use.
func oneProcessor(t *testing.T) {
	t.Helper()
	var allowed, one unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &allowed))
	for cpu := range len(allowed) * 64 {
		if allowed.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	require.NoError(t, unix.SchedSetaffinity(0, &one))
}

// sourceTo returns the source address that the kernel selects for a socket that is
// connected to the given address.
func sourceTo(t *testing.T, to netip.Addr) netip.Addr {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 9)))
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
}

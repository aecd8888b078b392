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
)

// Linux keeps one cached IPv6 route, with its preferred source, for each
// nexthop object and processor. Whichever route is looked up first, the others
// that lead through the same device keep theirs.
func TestHostNexthopsAndGroupsOfALaneKeepTheirOwnSources(t *testing.T) {
	end := routes.Route{
		Prefix: netip.MustParsePrefix("fd77::2/128"), Nexthop: routes.HostNexthopID(0, routes.IPv6), Source: netip.MustParseAddr("fd77::1"),
	}
	group := routes.Group{ID: routes.GroupID(0, routes.IPv6), Family: routes.IPv6, Members: []uint32{routes.LaneNexthopID(0, routes.IPv6)}}
	remote := routes.Route{
		Prefix: netip.MustParsePrefix("fd00:2::/48"), Nexthop: group.ID, Source: netip.MustParseAddr("fd00:1::1"),
	}
	for name, order := range map[string][]routes.Route{"end first": {end, remote}, "group first": {remote, end}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			oneProcessor(t)
			w.addIPv6("fd77::1/128", "mesh0")
			_, err := routes.Apply(t.Context(), w, routes.Config{
				Table: routes.DefaultTable,
				Rules: []routes.Rule{{Family: routes.IPv6, Priority: routes.DefaultRulePriority, Mark: routes.DefaultMark}},
				Nexthops: []routes.Nexthop{
					{ID: group.Members[0], Family: routes.IPv6, Device: "mesh0"},
					{ID: end.Nexthop, Family: routes.IPv6, Device: "mesh0"},
				},
				Groups: []routes.Group{group}, Routes: []routes.Route{remote, end},
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
	w.addIPv6("fd77::1/128", "mesh0") // when it knows no better the kernel takes fd00:1::1, which is more alike
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
	_, err := routes.Apply(t.Context(), w, want, true)
	require.NoError(t, err)
	require.Equal(t, source, sourceTo(t, netip.MustParseAddr("fd00:2::1")))
	want.Routes = want.Routes[1:]
	_, err = routes.Apply(t.Context(), w, want, true)
	require.NoError(t, err)
	assert.Equal(t, source, sourceTo(t, netip.MustParseAddr("fd00:3::1")))
}

// oneProcessor keeps this thread, which ends with the test, on the first
// processor that it may use.
func oneProcessor(t *testing.T) {
	t.Helper()
	var may, one unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &may))
	for cpu := range len(may) * 64 {
		if may.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	require.NoError(t, unix.SchedSetaffinity(0, &one))
}

// sourceTo is the address that the kernel gives a socket that is connected to another.
func sourceTo(t *testing.T, to netip.Addr) netip.Addr {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 9)))
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
}

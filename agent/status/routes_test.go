package status_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// applied is a kernel that has exactly the desired routes, and a foreign one.
func applied() status.RouteSources {
	in := inputs()
	desired, _ := gatewayplan.Compute(in)
	kernel := desired.Routes
	kernel.Routes = slices.Clone(kernel.Routes)
	kernel.Groups = slices.Clone(kernel.Groups)
	return status.RouteSources{
		Inputs: in, Desired: desired,
		Observed: routes.Observed{Config: kernel, Foreign: []routes.ForeignRoute{foreignRoute()}},
	}
}

func find(t *testing.T, r status.RoutesReport, prefix string) status.Route {
	t.Helper()
	i := slices.IndexFunc(r.Routes, func(route status.Route) bool { return route.Prefix.String() == prefix })
	require.GreaterOrEqual(t, i, 0, prefix)
	return r.Routes[i]
}

func TestRoutesReportMatchesGolden(t *testing.T) {
	golden(t, "routes.json", text(t, status.BuildRoutes(applied())))
}

func TestStateOfARouteComparesTheKernelWithThePlan(t *testing.T) {
	const prefix = "10.3.0.0/16"
	at := func(s *status.RouteSources) int {
		return slices.IndexFunc(s.Observed.Routes, func(r routes.Route) bool { return r.Prefix.String() == prefix })
	}
	cases := map[string]struct {
		change func(*status.RouteSources)
		state  string
		via    int
	}{
		"as desired": {func(*status.RouteSources) {}, "installed", 2},
		"deleted by another program": {func(s *status.RouteSources) {
			s.Observed.Routes = slices.Delete(s.Observed.Routes, at(s), at(s)+1)
		}, "missing", 2},
		"another source": {func(s *status.RouteSources) {
			s.Observed.Routes[at(s)].Source = netip.Addr{}
		}, "stale", 2},
		"of a datacenter that left": {func(s *status.RouteSources) {
			s.Desired.Routes.Routes = nil
		}, "stale", 2},
		"no gateway answers": {func(s *status.RouteSources) {
			for i := range s.Observed.Groups {
				s.Observed.Groups[i].Members = []uint32{routes.BlackholeID(s.Observed.Groups[i].Family)}
			}
		}, "blackhole", 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := applied()
			c.change(&s)
			got := find(t, status.BuildRoutes(s), prefix)
			assert.Equal(t, c.state, got.State)
			assert.Len(t, got.Via, c.via)
		})
	}
}

func TestGatewayOutsideTheGroupIsShownDown(t *testing.T) {
	got := find(t, status.BuildRoutes(applied()), "10.3.0.0/16")
	assert.Equal(t, []status.Via{{Gateway: "west/a", Device: "mesh0", Up: true}, {Gateway: "west/b", Device: "mesh1"}}, got.Via)
}

func TestMissingAndStaleRulesAreShown(t *testing.T) {
	s := applied()
	s.Observed.Rules = []routes.Rule{{Family: routes.IPv4, Priority: 99, Mark: 0x20}}
	var states []string
	for _, r := range status.BuildRoutes(s).Rules {
		states = append(states, r.State)
		assert.Equal(t, "not fwmark 0x20/0x20", r.Selector)
	}
	assert.Equal(t, []string{"stale", "missing", "missing"}, states)
}

func TestVerdictExplainsTheRouteOfAnAddress(t *testing.T) {
	cases := map[string]struct {
		lookup status.Lookup
		want   string
	}{
		"remote pod": {
			lookup("10.3.0.9", 7117, "10.3.0.0/16", "mesh0"),
			"10.3.0.9 is a pod address of west: packets to it go through mesh0 to west/a",
		},
		"remote service, no prefix in the answer of the kernel": {
			lookup("10.103.0.1", 0, "", "mesh0"),
			"10.103.0.1 is a service address of west: packets to it go through mesh0 to west/a",
		},
		"unreachable datacenter": {
			status.Lookup{Address: netip.MustParseAddr("10.2.0.1"), Table: 7117, Blackhole: true},
			"10.2.0.1 is a pod address of north: no gateway of its datacenter answers, so packets to it are dropped and not sent unencrypted",
		},
		"overlay address of a gateway that is down": {
			lookup("fd77::2", 7117, "fd77::2/128", "mesh0"),
			"fd77::2 is the overlay address of north/a: packets to it go through mesh0",
		},
		"rule missing": {
			lookup("10.3.0.9", 254, "0.0.0.0/0", "eth0"),
			"10.3.0.9 is a pod address of west, but another route is preferred: packets to it leave through eth0 and not through a tunnel; check for missing rules or routes (meshctl routes)",
		},
		"own pod": {
			lookup("10.1.0.9", 254, "10.1.0.0/24", "cni0"),
			"10.1.0.9 is a pod address of east, which is this datacenter: packets to it leave through cni0 by a route that is not Meshway's",
		},
		"this host": {
			lookup("10.1.0.1", 255, "10.1.0.1/32", "lo"),
			"10.1.0.1 is an address of this host",
		},
		"Internet": {
			lookup("198.51.100.1", 254, "0.0.0.0/0", "eth0"),
			"198.51.100.1 belongs to no datacenter: packets to it leave through eth0 and are not affected by Meshway",
		},
		"no route": {
			status.Lookup{Address: netip.MustParseAddr("2001:db8::1"), Error: "no route"},
			"2001:db8::1 belongs to no datacenter: this host has no route to it (no route)",
		},
		"foreign route in our table": {
			lookup("10.9.1.1", 7117, "10.9.0.0/16", "eth1"),
			"10.9.1.1 belongs to no datacenter: packets to it leave through eth1 by a route in Meshway's table that Meshway did not create",
		},
		"blackhole of another program": {
			status.Lookup{Address: netip.MustParseAddr("10.3.0.1"), Table: 254, Blackhole: true},
			"10.3.0.1 is a pod address of west: a route that is not Meshway's drops packets to it",
		},
		"datacenter that left": {
			status.Lookup{Address: netip.MustParseAddr("10.8.0.1"), Table: 7117, Blackhole: true},
			"10.8.0.1 is in 10.8.0.0/16, which south does not announce since 12:55:00: packets to it are dropped and not sent unencrypted, until 13:05:00 UTC",
		},
		"prefix of a datacenter that left, in that of another one": {
			status.Lookup{Address: netip.MustParseAddr("10.3.0.9"), Table: 7117, Blackhole: true},
			"10.3.0.9 is a pod address of west: no gateway of its datacenter answers, so packets to it are dropped and not sent unencrypted",
		},
		"device with a similar name": {
			lookup("198.51.100.1", 254, "", "meshed"),
			"198.51.100.1 belongs to no datacenter: packets to it leave through meshed and are not affected by Meshway",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := applied()
			s.Inputs.Withdrawn = []plan.Withdrawn{
				{Datacenter: "south", Prefix: catalog.Prefix{CIDR: netip.MustParsePrefix("10.8.0.0/16")}, At: time.Date(2026, 3, 1, 12, 55, 0, 0, time.UTC)},
				{Datacenter: "south", Prefix: catalog.Prefix{CIDR: netip.MustParsePrefix("10.3.0.0/16")}, At: time.Date(2026, 3, 1, 12, 55, 0, 0, time.UTC)},
			}
			s.Lookup = &c.lookup
			got := status.BuildRoutes(s).Destination
			require.NotNil(t, got)
			assert.Equal(t, c.want, got.Verdict)
			assert.Equal(t, c.lookup.Address, got.Address)
		})
	}
}

func lookup(address string, table int, prefix, device string) status.Lookup {
	l := status.Lookup{Address: netip.MustParseAddr(address), Table: table, Device: device}
	if prefix != "" {
		l.Prefix = netip.MustParsePrefix(prefix)
	}
	return l
}

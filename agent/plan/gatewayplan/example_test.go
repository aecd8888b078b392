package gatewayplan_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/consensus/catalog"
)

// The catalog has two datacenters with one gateway each, and the tunnel between
// them is up. The plan is that of gateway east/a.
func ExampleCompute() {
	pods := func(cidr string) []catalog.Prefix {
		return []catalog.Prefix{{CIDR: netip.MustParsePrefix(cidr), Kind: catalog.PodPrefix}}
	}
	desired, problems := gatewayplan.Compute(plan.Inputs{
		Self: "east/a",
		Config: config.Config{
			WireGuard: config.WireGuard{Interface: "mesh", Port: 51820},
			Routing:   config.Routing{Table: 7117},
		},
		Host: plan.Host{Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.1")}},
		Catalog: plan.Catalog{
			Federation: catalog.Federation{ID: "demo", Overlay: netip.MustParsePrefix("fd77::/48")},
			Datacenters: []catalog.Datacenter{
				{Name: "east", Ordinal: 1, Prefixes: pods("10.1.0.0/16")},
				{Name: "west", Ordinal: 2, Prefixes: pods("10.2.0.0/16")},
			},
			Gateways: []catalog.Gateway{
				{Datacenter: "east", Name: "a", PublicKey: catalog.Key{1}, Overlay: netip.MustParseAddr("fd77::1")},
				{Datacenter: "west", Name: "a", PublicKey: catalog.Key{2}, Overlay: netip.MustParseAddr("fd77::2")},
			},
		},
		Endpoints: map[catalog.GatewayID][]netip.AddrPort{"west/a": {netip.MustParseAddrPort("192.0.2.2:51820")}},
		Observed:  plan.Observed{Sessions: []plan.Session{{Gateway: "west/a", Up: true}}},
		Now:       time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	})
	for _, t := range desired.Tunnels {
		fmt.Println(t.Name, t.Addresses, "peer", t.Peers[0].Endpoint, t.Peers[0].AllowedIPs)
	}
	for _, n := range desired.Routes.Nexthops {
		fmt.Println("nexthop", n)
	}
	for _, g := range desired.Routes.Groups {
		fmt.Println("nexthop", g)
	}
	for _, r := range desired.Routes.Routes {
		fmt.Println("route", r.Text(desired.Routes.Table))
	}
	fmt.Println(len(problems), "problems")
	// Output:
	// mesh0 [127.77.87.1/32 fd77::1/128] peer 192.0.2.2:51820 [10.2.0.0/16 fd77::2/128]
	// nexthop id 0x4d570000 blackhole protocol 157
	// nexthop id 0x4d570001 blackhole protocol 157
	// nexthop id 0x4d570002 dev mesh0 protocol 157
	// nexthop id 0x4d570003 dev mesh0 protocol 157
	// nexthop id 0x4d57ff81 dev mesh0 protocol 157
	// nexthop id 0x4d570104 group 0x4d570002 protocol 157
	// route 10.2.0.0/16 nhid 0x4d570104 src 10.1.0.1 table 7117 proto 157
	// route blackhole 10.2.0.0/16 table 7117 proto 157 metric 4278198272
	// route blackhole fd77::/48 table 7117 proto 157 metric 4278198272
	// route fd77::2/128 nhid 0x4d57ff81 src fd77::1 table 7117 proto 157
	// 0 problems
}

package plan_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// Two datacenters, one gateway each; the tunnel between them does not work.
func ExampleCompute() {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	pods := func(cidr string) []catalog.Prefix {
		return []catalog.Prefix{{CIDR: netip.MustParsePrefix(cidr), Kind: catalog.PodPrefix}}
	}
	desired, problems := plan.Compute(plan.Inputs{
		Self:   "east/a",
		Config: config.Config{WireGuard: config.WireGuard{Interface: "mesh", Port: 51820}},
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
		Observed:  plan.Observed{Sessions: []plan.Session{{Gateway: "west/a", Since: at}}},
		Now:       at.Add(time.Minute),
	})
	for _, t := range desired.Tunnels {
		fmt.Println(t.Name, t.Peers[0].Endpoint, t.Peers[0].AllowedIPs)
	}
	for _, p := range problems {
		fmt.Println(p.Subject + ": " + p.Message)
	}
	// Output:
	// mesh0 192.0.2.2:51820 [10.2.0.0/16 fd77::2/128]
	// datacenter west: no tunnel to it works since 2026-01-01T00:00:00Z
}

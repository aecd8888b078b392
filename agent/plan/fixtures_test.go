package plan_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/tunnel"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// federation is east (the datacenter of this gateway), north and west. West
// has two gateways.
func federation() plan.Inputs {
	return plan.Inputs{
		Self:   "east/a",
		Config: settings(),
		Host:   plan.Host{Addresses: addresses("192.0.2.1", "10.1.0.1", "fe80::1", "127.0.0.1"), UnderlayMTU: 1500},
		Catalog: plan.Catalog{
			Federation: catalog.Federation{ID: "f", Name: "demo", Overlay: netip.MustParsePrefix("fd77::/48")},
			Datacenters: []catalog.Datacenter{
				datacenter("east", 1, "10.1.0.0/16", "10.101.0.0/16"),
				datacenter("north", 2, "10.2.0.0/16", "2001:db8:2::/64"),
				datacenter("west", 3, "10.3.0.0/16", "10.103.0.0/16"),
			},
			Gateways: []catalog.Gateway{
				gateway("east", "a", 0, 1), gateway("north", "a", 0, 2), gateway("west", "a", 0, 3), gateway("west", "b", 1, 4),
			},
			Index: 42,
		},
		Endpoints: map[catalog.GatewayID][]netip.AddrPort{
			"north/a": endpoints("192.0.2.2:51820"),
			"west/a":  endpoints("[2001:db8::3]:51820", "192.0.2.3:51820"),
			"west/b":  endpoints("192.0.2.4:51820"),
		},
		Synced: plan.Synced{Catalog: true, Host: true},
		Now:    now,
	}
}

func settings() config.Config {
	return config.Config{
		Datacenter: "east", Gateway: "a",
		Control:   config.Control{Listen: netip.MustParseAddrPort("[::]:7443")},
		WireGuard: config.WireGuard{Interface: "mesh", Port: 51820, Keepalive: 25 * time.Second},
		Routing:   config.Routing{Table: 7117, RulePriority: 5400, Mark: 0x20},
	}
}

func datacenter(name catalog.DatacenterName, ordinal uint32, pods string, others ...string) catalog.Datacenter {
	dc := catalog.Datacenter{Name: name, Ordinal: ordinal, Prefixes: []catalog.Prefix{
		{CIDR: netip.MustParsePrefix(pods), Kind: catalog.PodPrefix},
	}}
	for _, s := range others {
		dc.Prefixes = append(dc.Prefixes, catalog.Prefix{CIDR: netip.MustParsePrefix(s), Kind: catalog.ServicePrefix})
	}
	return dc
}

func gateway(dc catalog.DatacenterName, name string, index uint32, n byte) catalog.Gateway {
	return catalog.Gateway{
		Datacenter: dc, Name: name, Index: index, PublicKey: catalog.Key{n}, Version: "1.0",
		Overlay: netip.MustParseAddr(fmt.Sprintf("fd77::%d", n)),
	}
}

func addresses(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func endpoints(list ...string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, s := range list {
		out = append(out, netip.MustParseAddrPort(s))
	}
	return out
}

// applied is the data plane after a plan was applied to it; before that it had
// other tunnels.
func applied(d plan.Desired, before ...tunnel.Observed) []tunnel.Observed {
	endpoints := map[tunnel.PublicKey]netip.AddrPort{}
	for _, o := range before {
		for _, p := range o.Peers {
			endpoints[p.PublicKey] = p.Endpoint
		}
	}
	var out []tunnel.Observed
	for _, c := range d.Tunnels {
		o := tunnel.Observed{Config: c, Up: true}
		for _, p := range c.Peers {
			if !p.Endpoint.IsValid() {
				p.Endpoint = endpoints[p.PublicKey]
			}
			o.Peers = append(o.Peers, tunnel.ObservedPeer{Peer: p})
		}
		o.Config.Peers = nil
		out = append(out, o)
	}
	return out
}

// running is the federation with all its sessions up.
func running() plan.Inputs {
	in := federation()
	d, _ := gatewayplan.Compute(in)
	in.Observed.Tunnels = applied(d)
	for _, s := range d.Sessions {
		in.Observed.Sessions = append(in.Observed.Sessions, plan.Session{Gateway: s.Gateway, Up: true, Since: now.Add(-time.Hour)})
	}
	return in
}

// sharing is the running federation with two more gateways in east: b on a
// link of this host, and c behind routers. The CNI plugin uses VXLAN.
func sharing() plan.Inputs {
	in := running()
	in.Catalog.Gateways = append(in.Catalog.Gateways, gateway("east", "c", 2, 12), gateway("east", "b", 1, 11))
	in.Endpoints["east/b"] = endpoints("192.0.2.11:51820", "[2001:db8:7::11]:51820")
	in.Endpoints["east/c"] = endpoints("203.0.113.12:51820")
	in.Host.Links = []plan.Link{
		{Device: "cni0", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}},
		{Device: "eth0", Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
	}
	in.Host.Underlay, in.Host.Overlays = []string{"eth0", "eth1"}, []string{"flannel.1"}
	in.Host.Strict = []string{"cni0", "eth0", "eth1"}
	return in
}

func fail(in *plan.Inputs, gateways ...catalog.GatewayID) {
	for i, s := range in.Observed.Sessions {
		for _, g := range gateways {
			if s.Gateway == g {
				in.Observed.Sessions[i].Up = false
				in.Observed.Sessions[i].Since = now.Add(-time.Second)
			}
		}
	}
}

// badRecords has one of each kind of record that the catalog refuses.
func badRecords() plan.Inputs {
	in := running()
	in.Catalog.Datacenters = append(in.Catalog.Datacenters,
		datacenter("abel", 4, "10.1.128.0/17", "10.4.0.0/16"), // sorts before east, but the own datacenter wins
		datacenter("zeta", 5, "10.3.7.0/24", "0.0.0.0/0", "fd77::/64", "10.5.1.0/16", "192.0.2.0/24"),
		datacenter("late", 1<<20, "10.6.0.0/16"))
	bad := []catalog.Gateway{
		gateway("abel", "a", 0, 4), gateway("zeta", "a", 0, 0), gateway("zeta", "b", 1, 5), gateway("zeta", "c", 1, 6),
		gateway("zeta", "d", 99, 7), gateway("gone", "a", 0, 8),
	}
	bad[3].Version = "2.0"
	bad = append(bad, gateway("zeta", "e", 2, 9))
	bad[6].Overlay = netip.MustParseAddr("10.9.9.9")
	in.Catalog.Gateways = append(in.Catalog.Gateways, bad...)
	in.Host.UnderlayMTU = 1300
	in.Observed.Tunnels[0].Peers[0].LastHandshake = now.Add(time.Hour)
	return in
}

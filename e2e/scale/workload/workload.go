// Package workload builds the inputs of an agent for a federation of any size.
package workload

import (
	"crypto/sha256"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// Size is the size of a federation. Each datacenter has the same part of it.
type Size struct {
	Datacenters int // at most 256
	Gateways    int // of each datacenter
	Prefixes    int // of all datacenters
	Services    int // registered ones, and as many exports
	Endpoints   int // of all exports
}

// Full returns the size that Meshway is built for.
func Full() Size {
	return Size{Datacenters: 100, Gateways: 2, Prefixes: 8_000, Services: 10_000, Endpoints: 100_000}
}

// now is the time of all inputs.
func now() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// Self returns the gateway whose inputs these are.
func (s Size) Self() catalog.GatewayID { return gatewayID(0, 0) }

func gatewayID(dc, n int) catalog.GatewayID {
	return catalog.NewGatewayID(consensustest.DatacenterName(dc), gatewayName(n))
}

func gatewayName(n int) string { return fmt.Sprint("gw", n) }

// PrefixesOf returns the prefixes of one datacenter: equal parts of 10.dc.0.0/16.
func (s Size) PrefixesOf(dc int) []catalog.Prefix {
	each := s.Prefixes / s.Datacenters
	length := 16 + bits.Len(uint(each-1)) //nolint:gosec // a number of prefixes
	var out []catalog.Prefix
	for i := range each {
		offset := i << (32 - length)
		address := netip.AddrFrom4([4]byte{10, byte(dc), byte(offset >> 8), byte(offset)})
		out = append(out, catalog.Prefix{CIDR: netip.PrefixFrom(address, length), Kind: catalog.PodPrefix})
	}
	return out
}

// Settings returns the configuration of the agent.
func (s Size) Settings() config.Config {
	self := s.Self()
	return config.Config{
		Datacenter: self.Datacenter(), Gateway: self.Name(),
		Control:   config.Control{Listen: netip.MustParseAddrPort("0.0.0.0:7443")},
		WireGuard: config.WireGuard{Interface: "mesh", Port: 51820, Keepalive: 25 * time.Second},
		Routing:   config.Routing{Table: routes.DefaultTable, RulePriority: routes.DefaultRulePriority, Mark: routes.DefaultMark, Confine: true},
		Liveness:  config.Liveness{Port: 7444, Interval: time.Second, Multiplier: 3},
	}
}

// Catalog returns the topology. Every gateway has observed all of other
// datacenters, in lane order.
func (s Size) Catalog() plan.Catalog {
	c := plan.Catalog{
		Federation: catalog.Federation{ID: consensustest.Federation, Name: "scale", Overlay: netip.MustParsePrefix("fd77::/48")}, Index: 1,
	}
	for dc := range s.Datacenters {
		c.Datacenters = append(c.Datacenters, catalog.Datacenter{
			Name: consensustest.DatacenterName(dc), Ordinal: uint32(dc), Prefixes: s.PrefixesOf(dc), //nolint:gosec // at most 256
		})
		for n := range s.Gateways {
			c.Gateways = append(c.Gateways, s.gateway(dc, n))
		}
	}
	for i, observer := range c.Gateways {
		for _, seen := range c.Gateways {
			if seen.Datacenter != observer.Datacenter {
				c.Observations = append(c.Observations, catalog.Observation{
					Observer: observer.ID(), Peer: seen.ID(), At: now().Add(-time.Duration(i) * time.Second),
					Endpoint: netip.MustParseAddrPort(seen.Endpoints[0]),
				})
			}
		}
	}
	return c
}

func (s Size) gateway(dc, n int) catalog.Gateway {
	id := gatewayID(dc, n)
	underlay := netip.AddrFrom4([4]byte{198, 18, byte(dc), byte(n + 1)})
	return catalog.Gateway{
		Datacenter: id.Datacenter(), Name: id.Name(), Index: uint32(n), PublicKey: sha256.Sum256([]byte(id)), //nolint:gosec // small
		Overlay:   netip.AddrFrom16([16]byte{0xfd, 0x77, 14: byte(dc), 15: byte(n + 1)}),
		Endpoints: []string{netip.AddrPortFrom(underlay, 51820).String()}, Controls: []string{netip.AddrPortFrom(underlay, 7443).String()},
		Version: "test", FeatureLevel: catalog.Level,
	}
}

// Host returns the host of the agent, which has one uplink.
func (s Size) Host() plan.Host {
	own := netip.AddrFrom4([4]byte{198, 18, 0, 1})
	return plan.Host{
		Addresses: []netip.Addr{own}, UnderlayMTU: 1500, Underlay: []string{"eth0"},
		Links: []plan.Link{{Device: "eth0", Prefixes: []netip.Prefix{netip.PrefixFrom(own, 24).Masked()}}},
	}
}

// Inputs returns the inputs of a plan for tunnels that exist. All sessions are up,
// or all are down.
func (s Size) Inputs(up bool) plan.Inputs {
	in := plan.Inputs{
		Self: s.Self(), Config: s.Settings(), Host: s.Host(), Catalog: s.Catalog(), Endpoints: map[catalog.GatewayID][]netip.AddrPort{},
		Synced: plan.Synced{Catalog: true, Host: true}, Site: plan.Site{Known: true, Prefixes: s.PrefixesOf(0)},
		PublicKey: tunnel.PublicKey(s.gateway(0, 0).PublicKey), Version: "test", Now: now(),
	}
	for _, g := range in.Catalog.Gateways {
		in.Endpoints[g.ID()] = []netip.AddrPort{netip.MustParseAddrPort(g.Endpoints[0])}
	}
	desired, _ := gatewayplan.Compute(in)
	in.Observed = plan.Observed{Tunnels: Existing(desired.Tunnels)}
	for _, session := range desired.Sessions {
		in.Observed.Sessions = append(in.Observed.Sessions, plan.Session{
			Gateway: session.Gateway, Up: up, Since: now().Add(-time.Hour), RTT: time.Millisecond,
		})
	}
	return in
}

// OneDatacenterChanged returns inputs in which one datacenter lacks its first prefix.
func OneDatacenterChanged(in plan.Inputs) plan.Inputs {
	in.Catalog.Datacenters = slices.Clone(in.Catalog.Datacenters)
	dc := &in.Catalog.Datacenters[len(in.Catalog.Datacenters)/2]
	dc.Prefixes = dc.Prefixes[1:]
	return in
}

// Existing returns interfaces that are as desired.
func Existing(desired []tunnel.Config) []tunnel.Observed {
	var out []tunnel.Observed
	for _, c := range desired {
		o := tunnel.Observed{Config: c, Up: true}
		for _, p := range c.Peers {
			o.Peers = append(o.Peers, tunnel.ObservedPeer{Peer: p})
		}
		o.Config.Peers = nil
		out = append(out, o)
	}
	return out
}

// Sources returns the sources of the status after the plan of Inputs was applied.
func (s Size) Sources() status.Sources {
	in := s.Inputs(true)
	desired, problems := gatewayplan.Compute(in)
	out := status.Sources{
		At: in.Now, StartedAt: in.Now, Version: in.Version, State: status.Member, Inputs: in, Desired: desired, Problems: problems,
		Consensus: consensus.Status{Role: "follower", Leader: gatewayID(s.Datacenters-1, 0)},
		Applied:   status.Applied{Tunnels: in.Observed.Tunnels, Routes: routes.Observed{Config: desired.Routes}, LastApply: in.Now},
	}
	for i, g := range in.Catalog.Gateways {
		out.Consensus.Peers = append(out.Consensus.Peers, consensus.Peer{ID: g.ID(), Voter: i < 5, Healthy: true})
	}
	return out
}

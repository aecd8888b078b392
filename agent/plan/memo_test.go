package plan_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/consensus/catalog"
)

// changes are what happens to the inputs of a plan. None of them modifies what the inputs
// before it have.
func changes() map[string]func(*rand.Rand, *plan.Inputs) {
	return map[string]func(*rand.Rand, *plan.Inputs){
		"prefixes": func(r *rand.Rand, in *plan.Inputs) {
			dc := anyDatacenter(r, in)
			dc.Prefixes = nil
			for range r.IntN(5) {
				dc.Prefixes = append(dc.Prefixes, catalog.Prefix{CIDR: anyPrefix(r), Kind: []catalog.PrefixKind{catalog.PodPrefix, catalog.NodePrefix, catalog.ServicePrefix}[r.IntN(3)]})
			}
		},
		"ordinal": func(r *rand.Rand, in *plan.Inputs) {
			anyDatacenter(r, in).Ordinal = []uint32{1, 2, 3, 4, 5, 9, 1 << 20}[r.IntN(7)]
		},
		"datacenter": func(r *rand.Rand, in *plan.Inputs) {
			i := r.IntN(len(in.Catalog.Datacenters))
			name := in.Catalog.Datacenters[i].Name
			if name == "east" || r.IntN(2) == 0 {
				name = catalog.DatacenterName(fmt.Sprint("dc", r.IntN(4)))
				in.Catalog.Datacenters = append(slices.Clip(in.Catalog.Datacenters), datacenter(name, uint32(10+r.IntN(9)), anyPrefix(r).Masked().String()))
				in.Catalog.Gateways = append(slices.Clip(in.Catalog.Gateways), gateway(name, "a", 0, byte(20+r.IntN(90))))
				return
			}
			in.Catalog.Datacenters = slices.Delete(slices.Clone(in.Catalog.Datacenters), i, i+1)
		},
		"gateway": func(r *rand.Rand, in *plan.Inputs) {
			g := anyGateway(r, in)
			switch r.IntN(4) {
			case 0:
				g.Draining = !g.Draining
			case 1:
				g.Index = uint32(r.IntN(3))
			case 2:
				g.Overlay = netip.MustParseAddr(fmt.Sprintf("fd77::%d", 1+r.IntN(30)))
			case 3:
				g.Controls = []string{fmt.Sprintf("192.0.2.9:%d", 7443+r.IntN(2))}
			}
		},
		"sibling": func(_ *rand.Rand, in *plan.Inputs) {
			before := len(in.Catalog.Gateways)
			in.Catalog.Gateways = slices.DeleteFunc(slices.Clone(in.Catalog.Gateways), func(g catalog.Gateway) bool { return g.ID() == "east/b" })
			if before == len(in.Catalog.Gateways) {
				in.Catalog.Gateways = append(in.Catalog.Gateways, gateway("east", "b", 1, 11))
			}
		},
		"observation": func(r *rand.Rand, in *plan.Inputs) {
			ids := []catalog.GatewayID{"east/a", "east/b", "north/a", "west/a", "west/b"}
			in.Catalog.Observations = append(slices.Clone(in.Catalog.Observations[:r.IntN(len(in.Catalog.Observations)+1)]), catalog.Observation{
				Observer: ids[r.IntN(len(ids))], Peer: ids[r.IntN(len(ids))], At: now.Add(-time.Duration(r.IntN(9)) * time.Hour),
				Endpoint: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(r.IntN(9))}), uint16(51820+r.IntN(2))),
			})
		},
		"endpoint": func(r *rand.Rand, in *plan.Inputs) {
			in.Endpoints = maps.Clone(in.Endpoints)
			in.Endpoints[anyGateway(r, in).ID()] = endpoints(fmt.Sprintf("198.51.100.%d:51820", r.IntN(9)), "192.0.2.3:51820")
		},
		"verdict": func(r *rand.Rand, in *plan.Inputs) {
			in.Observed.Sessions = slices.Clone(in.Observed.Sessions)
			for range 1 + r.IntN(4) {
				s := &in.Observed.Sessions[r.IntN(len(in.Observed.Sessions))]
				s.Up, s.Since = !s.Up, in.Now.Add(-time.Duration(r.IntN(9))*time.Second)
			}
		},
		"handshake": func(r *rand.Rand, in *plan.Inputs) {
			in.Observed.Tunnels = slices.Clone(in.Observed.Tunnels)
			t := &in.Observed.Tunnels[0]
			t.Peers = slices.Clone(t.Peers)
			p := &t.Peers[r.IntN(len(t.Peers))]
			p.LastHandshake, p.Endpoint = in.Now, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(9))}), 51820)
		},
		"path": func(r *rand.Rand, in *plan.Inputs) {
			in.Observed.PathMTUs = map[catalog.GatewayID]int{anyGateway(r, in).ID(): 1300 + 40*r.IntN(3)}
		},
		"host": func(r *rand.Rand, in *plan.Inputs) {
			in.Host.Links = []plan.Link{
				{Device: "cni0", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}},
				{Device: "eth0", Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), anyPrefix(r).Masked()}},
			}
			in.Host.Addresses = append(slices.Clone(in.Host.Addresses[:4]), anyPrefix(r).Addr())
			in.Host.IPv6 = plan.IPv6(r.IntN(3))
		},
		"configuration": func(r *rand.Rand, in *plan.Inputs) {
			in.Config.Routing.Accept, in.Config.Routing.Yield = nil, nil
			switch in.Config.Witness = false; r.IntN(4) {
			case 0:
				in.Config.Routing.Accept = map[catalog.DatacenterName][]netip.Prefix{anyDatacenter(r, in).Name: {anyPrefix(r).Masked()}}
			case 1:
				in.Config.Routing.Yield = []netip.Prefix{anyPrefix(r).Masked()}
			case 2:
				in.Config.Witness = r.IntN(2) == 0
			}
		},
		"withdrawn": func(r *rand.Rand, in *plan.Inputs) {
			in.Withdrawn = nil
			if r.IntN(2) == 0 {
				in.Withdrawn = []plan.Withdrawn{{Datacenter: "north", Prefix: catalog.Prefix{CIDR: anyPrefix(r).Masked(), Kind: catalog.PodPrefix}, At: now}}
			}
		},
		"node": func(r *rand.Rand, in *plan.Inputs) {
			in.Site.Nodes.Peers = nil
			for n := range r.IntN(3) {
				in.Site.Nodes.Peers = append(in.Site.Nodes.Peers, plan.NodePeer{
					Name: fmt.Sprint("node", n), PublicKey: [32]byte{byte(100 + n)}, Port: 51820, Addresses: addresses(fmt.Sprintf("10.1.9.%d", n)), PodCIDRs: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(n), 0}), 24)},
				})
			}
		},
		"drain": func(r *rand.Rand, in *plan.Inputs) { in.Drain = plan.Drain(r.IntN(3)) },
		"time":  func(_ *rand.Rand, in *plan.Inputs) { in.Before, in.Now = in.Now, in.Now.Add(time.Second) },
		"overlay": func(r *rand.Rand, in *plan.Inputs) {
			in.Catalog.Federation.Overlay = netip.MustParsePrefix([]string{"fd77::/48", "fd77::/32"}[r.IntN(2)])
		},
	}
}

func anyDatacenter(r *rand.Rand, in *plan.Inputs) *catalog.Datacenter {
	in.Catalog.Datacenters = slices.Clone(in.Catalog.Datacenters)
	return &in.Catalog.Datacenters[r.IntN(len(in.Catalog.Datacenters))]
}

func anyGateway(r *rand.Rand, in *plan.Inputs) *catalog.Gateway {
	in.Catalog.Gateways = slices.Clone(in.Catalog.Gateways)
	return &in.Catalog.Gateways[r.IntN(len(in.Catalog.Gateways))]
}

// anyPrefix returns one that often overlaps others, and sometimes is invalid.
func anyPrefix(r *rand.Rand) netip.Prefix {
	if r.IntN(5) == 0 {
		return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 7: byte(r.IntN(4))}), 64)
	}
	if r.IntN(9) == 0 { // an address on the link of this host
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(9))}), 32)
	}
	bits := []int{0, 7, 8, 15, 16, 16, 20, 24, 24, 32}[r.IntN(10)]
	p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(r.IntN(6)), byte(r.IntN(3)), 0}), bits)
	if r.IntN(9) > 0 {
		return p.Masked()
	}
	return p
}

// planned is a plan with what it was computed from.
type planned struct {
	in       plan.Inputs
	desired  plan.Desired
	problems []plan.Problem
}

func TestPlanWithAMemoIsThatWithoutOneAfterAnyChanges(t *testing.T) {
	all := changes()
	names := slices.Sorted(maps.Keys(all))
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		in, memo := sharing(), gatewayplan.Memo{}
		var history []planned
		var done []string
		for range 40 {
			for range r.IntN(3) {
				name := names[r.IntN(len(names))]
				done = append(done, name)
				all[name](r, &in)
			}
			p := planned{in: in}
			p.desired, p.problems, memo = memo.Compute(in)
			desired, problems := gatewayplan.Compute(in)
			require.Equal(t, desired, p.desired, "seed %d: after %v", seed, done)
			require.Equal(t, problems, p.problems, "seed %d: after %v", seed, done)
			history = append(history, p)
		}
		for i, p := range history {
			desired, problems := gatewayplan.Compute(p.in)
			require.Equal(t, desired, p.desired, "seed %d: a later plan modified plan %d", seed, i)
			require.Equal(t, problems, p.problems, "seed %d: a later plan modified plan %d", seed, i)
		}
	}
}

func TestLaneOfAnObserverChangesTheEndpointThatItsObservationShows(t *testing.T) {
	in := running()
	in.Observed = plan.Observed{}
	in.Catalog.Observations = []catalog.Observation{{Observer: "west/b", Peer: "north/a", Endpoint: endpoints("198.51.100.2:51821")[0], At: now}}
	in.Endpoints["north/a"] = endpoints("[2001:db8::2]:51820")
	in.Host.Addresses = addresses("192.0.2.1", "10.1.0.1")
	first, _, memo := gatewayplan.Memo{}.Compute(in)
	in.Catalog.Gateways = slices.Clone(in.Catalog.Gateways)
	in.Catalog.Gateways[3].Index = 2
	second, _, _ := memo.Compute(in)
	want, _ := gatewayplan.Compute(in)
	assert.NotEqual(t, first.Tunnels[0].Peers, second.Tunnels[0].Peers)
	assert.Equal(t, want, second)
}

func TestPlanSharesTheListsThatDoNotChange(t *testing.T) {
	in := sharing()
	first, _, memo := gatewayplan.Memo{}.Compute(in)
	in.Observed.Sessions = slices.Clone(in.Observed.Sessions)
	fail(&in, "west/a")
	second, _, memo := memo.Compute(in)
	assert.NotEqual(t, first.Routes.Groups, second.Routes.Groups, "the verdict has an effect")
	assert.Same(t, &first.Routes.Routes[0], &second.Routes.Routes[0], "a verdict changes no route")
	assert.Same(t, &first.Firewall.Remote[0], &second.Firewall.Remote[0])
	in.Catalog.Datacenters = slices.Clone(in.Catalog.Datacenters)
	in.Catalog.Datacenters[1].Prefixes = in.Catalog.Datacenters[1].Prefixes[:1]
	third, _, _ := memo.Compute(in)
	assert.Len(t, third.Routes.Routes, len(second.Routes.Routes)-2, "the route and its guard")
}

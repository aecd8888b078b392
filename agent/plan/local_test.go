package plan_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/agent/plan/nodeplan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

func via(prefix, router string) routes.HostRoute {
	return routes.HostRoute{Prefix: netip.MustParsePrefix(prefix), Device: "eth1", Via: netip.MustParseAddr(router)}
}

func ofTable(table int, r routes.HostRoute) routes.HostRoute {
	r.Table = table
	return r
}

// local is what a host has besides the federation, and what follows for the
// prefix 10.3.0.0/16 of west.
type local struct {
	name   string
	host   func(h *plan.Host)
	accept []netip.Prefix // from west; nil: all
	yield  []netip.Prefix
	// routed and thrown are the routes in Meshway's table that overlap the
	// prefix, without and with "throw".
	routed, thrown []string
	problem        []string // words of the only new problem; none: there is none
}

func locals() []local {
	const remote = "10.3.0.0/16"
	route := func(list ...routes.HostRoute) func(*plan.Host) {
		return func(h *plan.Host) { h.Routes = append(h.Routes, list...) }
	}
	link := func(device, prefix string) func(*plan.Host) {
		return func(h *plan.Host) {
			h.Links = append(h.Links, plan.Link{Device: device, Prefixes: prefixes(prefix)})
			h.Routes = append(h.Routes, routes.HostRoute{Prefix: netip.MustParsePrefix(prefix), Device: device})
		}
	}
	need := func(address, use string) func(*plan.Host) {
		return func(h *plan.Host) {
			h.Needed = append(h.Needed, plan.Need{Address: netip.MustParseAddr(address), Use: use, Movable: true})
		}
	}
	return []local{
		{name: "nothing", host: route(), routed: []string{remote}},
		{
			name: "a narrower route", host: route(via("10.3.200.0/24", "192.168.50.2")),
			routed: []string{remote}, thrown: []string{"10.3.200.0/24"},
			problem: []string{"10.3.0.0/16 of datacenter west", "10.3.200.0/24 via 192.168.50.2", "routing.accept.west", "10.3.200.0/24 to routing.yield"},
		},
		{
			name: "nested routes", host: route(via("10.3.200.0/24", "192.168.50.2"), via("10.3.200.8/29", "192.168.50.3"), via("10.3.4.0/24", "192.168.50.2")),
			routed: []string{remote}, thrown: []string{"10.3.4.0/24", "10.3.200.0/24"}, problem: []string{"10.3.4.0/24", "10.3.200.0/24"},
		},
		{
			name: "the same route", host: route(via(remote, "192.168.50.2")),
			thrown: []string{remote}, problem: []string{"is not routed", "10.3.0.0/16 via 192.168.50.2", "routing.yield"},
		},
		{
			name: "a narrower route of a policy rule, from before", host: func(h *plan.Host) {
				h.PolicyRoutes = []routes.HostRoute{ofTable(100, via("10.3.200.0/24", "192.168.50.2")), ofTable(100, via("10.3.4.0/24", "192.168.50.2"))}
				h.Earlier = h.PolicyRoutes[:1]
			},
			routed: []string{remote}, thrown: []string{"10.3.200.0/24"},
			problem: []string{"10.3.200.0/24 via 192.168.50.2 of table 100", "routing.accept.west", "10.3.200.0/24 to routing.yield", "remove 10.3.200.0/24 from table 100"},
		},
		{
			name: "the same route of a policy rule, from before", host: func(h *plan.Host) { h.Earlier = []routes.HostRoute{ofTable(100, via(remote, "192.168.50.2"))} },
			thrown: []string{remote}, problem: []string{"is not routed", "10.3.0.0/16 via 192.168.50.2 of table 100"},
		},
		{
			name: "a route of a policy rule, from before, yielding", yield: prefixes("10.3.128.0/17"), routed: []string{remote},
			host: func(h *plan.Host) { h.Earlier = []routes.HostRoute{ofTable(100, via("10.3.200.0/24", "192.168.50.2"))} },
		},
		{name: "a wider route", host: route(via("10.0.0.0/8", "192.168.50.2")), routed: []string{remote}},
		{name: "the default route", host: route(via("0.0.0.0/0", "192.168.50.2")), routed: []string{remote}},
		{name: "a route that drops", host: route(routes.HostRoute{Prefix: netip.MustParsePrefix(remote), Drop: "blackhole"}), routed: []string{remote}},
		{name: "a route of a lane", host: route(routes.HostRoute{Prefix: netip.MustParsePrefix("10.3.9.1/32"), Device: "mesh0"}), routed: []string{remote}},
		{
			name: "a route of a device with a similar name", host: route(routes.HostRoute{Prefix: netip.MustParsePrefix("10.3.9.0/24"), Device: "meshlan"}),
			routed: []string{remote}, thrown: []string{"10.3.9.0/24"}, problem: []string{"10.3.9.0/24 dev meshlan"},
		},
		{
			name: "a network in it", host: link("docker0", "10.3.17.0/24"),
			routed: []string{remote}, thrown: []string{"10.3.17.0/24"}, problem: []string{"10.3.17.0/24 (the network of docker0)"},
		},
		{name: "the same network", host: link("docker0", remote), thrown: []string{remote}, problem: []string{"is not routed", "the network of docker0"}},
		{name: "a network around it", host: link("eth1", "10.2.0.0/15"), thrown: []string{remote}, problem: []string{"is not routed", "10.2.0.0/15 (the network of eth1)"}},
		{
			name: "a router", host: route(via("0.0.0.0/0", "10.3.0.1")),
			routed: []string{remote}, thrown: []string{"10.3.0.1/32"}, problem: []string{"10.3.0.1 (a router of the host)", "routing.accept.west", "remove the range from the prefixes of west"},
		},
		{
			name: "an address of the host", host: func(h *plan.Host) { h.Addresses = append(h.Addresses, netip.MustParseAddr("10.3.0.7")) },
			routed: []string{remote}, thrown: []string{"10.3.0.7/32"}, problem: []string{"10.3.0.7 (an address of the host)"},
		},
		{
			name: "a resolver", host: need("10.3.0.53", "a resolver of the host"),
			routed: []string{remote}, thrown: []string{"10.3.0.53/32"}, problem: []string{"10.3.0.53 (a resolver of the host)", "routing.accept.west", "add 10.3.0.53/32 to routing.yield"},
		},
		{name: "an API server that yields", host: need("10.3.0.6", "the API server"), yield: prefixes("10.3.0.6/32"), routed: []string{remote}},
		{
			name: "an API server in a range that yields", host: need("10.3.0.6", "the API server"), yield: prefixes("10.3.0.6/31 10.3.0.7/32"),
			routed: []string{remote}, thrown: []string{"10.3.0.6/32"}, problem: []string{"10.3.0.6 (the API server)"},
		},
		{
			name: "a router that is to yield", host: route(via("0.0.0.0/0", "10.3.0.1")), yield: prefixes("10.3.0.1/32"),
			routed: []string{remote}, thrown: []string{"10.3.0.1/32"}, problem: []string{"10.3.0.1 (a router of the host)"},
		},
		{
			name: "a router that is an API server, too", yield: prefixes("10.3.0.1/32"),
			host: func(h *plan.Host) {
				route(via("0.0.0.0/0", "10.3.0.1"))(h)
				need("10.3.0.1", "the API server")(h)
			},
			routed: []string{remote}, thrown: []string{"10.3.0.1/32"}, problem: []string{"10.3.0.1 (a router of the host)"},
		},
		{name: "narrowed", host: route(via("10.3.200.0/24", "192.168.50.2")), accept: prefixes("10.3.0.0/17"), routed: []string{"10.3.0.0/17"}},
		{name: "narrowed to two", host: route(), accept: prefixes("10.3.0.0/24 10.3.7.0/24 10.9.0.0/16"), routed: []string{"10.3.0.0/24", "10.3.7.0/24"}},
		{name: "accepted as a whole", host: route(), accept: prefixes("10.0.0.0/8"), routed: []string{remote}},
		{name: "nothing accepted", host: route(via("10.3.200.0/24", "192.168.50.2")), accept: []netip.Prefix{}},
		{name: "a route that yields", host: route(via("10.3.200.0/24", "192.168.50.2")), yield: prefixes("10.3.128.0/17"), routed: []string{remote}},
		{name: "the same route, yielding", host: route(via(remote, "192.168.50.2")), yield: prefixes(remote), routed: []string{remote}},
		{name: "a network around it, yielding in part", host: link("eth1", "10.2.0.0/15"), yield: prefixes(remote), routed: []string{remote}},
		{
			name: "a resolver in a range that yields", host: need("10.3.0.53", "a resolver of the host"), yield: prefixes(remote),
			routed: []string{remote}, thrown: []string{"10.3.0.53/32"}, problem: []string{"10.3.0.53 (a resolver of the host)"},
		},
	}
}

func TestRemotePrefixesNeverWinOverWhatTheHostReachesOtherwise(t *testing.T) {
	for _, c := range locals() {
		t.Run(c.name, func(t *testing.T) {
			in := running()
			in.Config.Routing.Yield = c.yield
			if c.accept != nil {
				in.Config.Routing.Accept = map[catalog.DatacenterName][]netip.Prefix{"west": c.accept}
			}
			c.host(&in.Host)
			d, problems := gatewayplan.Compute(in)
			requireLocal(t, c, d.Routes, d.Firewall, problems)
		})
	}
}

func TestRemotePrefixesNeverWinOverWhatANodeReachesOtherwise(t *testing.T) {
	for _, c := range locals() {
		t.Run(c.name, func(t *testing.T) {
			in := nodeInputs()
			in.Config.Routing.Yield = c.yield
			if c.accept != nil {
				in.Config.Routing.Accept = map[catalog.DatacenterName][]netip.Prefix{"west": c.accept}
			}
			c.host(&in.Host)
			d, problems := nodeplan.Compute(in)
			requireLocal(t, c, d.Routes, d.Firewall, problems)
		})
	}
}

func requireLocal(t *testing.T, c local, got routes.Config, fw routes.Firewall, problems []plan.Problem) {
	t.Helper()
	remote := netip.MustParsePrefix("10.3.0.0/16")
	var routed, thrown []string
	for _, r := range got.Routes {
		switch {
		case !r.Prefix.Overlaps(remote) || r.Kind == routes.Guard:
		case r.Kind == routes.Throw:
			thrown = append(thrown, r.Prefix.String())
			assert.False(t, overlaps(fw.Remote, r.Prefix), "the firewall treats %s as local", r.Prefix)
			for _, l := range fw.Lanes {
				assert.False(t, overlaps(l.Sources, r.Prefix), "%s is no source on %s", r.Prefix, l.Device)
			}
		default:
			routed = append(routed, r.Prefix.String())
			assert.True(t, overlaps(fw.Remote, r.Prefix), "the firewall protects %s", r.Prefix)
		}
	}
	problems = slices.DeleteFunc(problems, func(p plan.Problem) bool { return p.Subject == "datacenter north" })
	assert.Equal(t, c.routed, routed)
	assert.Equal(t, c.thrown, thrown)
	if len(c.problem) == 0 {
		assert.Empty(t, problems)
		return
	}
	require.Len(t, problems, 1)
	assert.Equal(t, plan.Error, problems[0].Severity)
	assert.Equal(t, "prefix-local", problems[0].Code)
	for _, words := range c.problem {
		assert.Contains(t, problems[0].Message+"\n"+problems[0].Remedy, words)
	}
}

func overlaps(list []netip.Prefix, p netip.Prefix) bool {
	for _, q := range list {
		if q.Overlaps(p) {
			return true
		}
	}
	return false
}

// TestNodesOnASharedNetworkAreReachedThroughTheTunnel: clusters on one network
// announce the addresses of their nodes, which are on the link of this host.
func TestNodesOnASharedNetworkAreReachedThroughTheTunnel(t *testing.T) {
	node := netip.MustParsePrefix("192.0.2.77/32")
	in := running()
	in.Host.Links = []plan.Link{{Device: "eth0", Prefixes: prefixes("192.0.2.0/24")}}
	west := &in.Catalog.Datacenters[2]
	west.Prefixes = append(west.Prefixes, catalog.Prefix{CIDR: node, Kind: catalog.NodePrefix})
	routed := func() bool {
		d, _ := gatewayplan.Compute(in)
		return strings.Contains(d.String(), "\nroute 192.0.2.77/32 nhid")
	}
	assert.False(t, routed(), "only a handshake proves that a gateway of west is on the network")
	for i := range in.Observed.Tunnels {
		for j := range in.Observed.Tunnels[i].Peers {
			in.Observed.Tunnels[i].Peers[j].LastHandshake = now.Add(-time.Minute)
		}
	}
	assert.True(t, routed())
	west.Prefixes[len(west.Prefixes)-1].Kind = catalog.PodPrefix
	assert.False(t, routed(), "pods are not on the network")
}

func TestOverlayInTheNetworkOfTheHostIsReported(t *testing.T) {
	in := running()
	in.Host.Links = []plan.Link{{Device: "eth0", Prefixes: prefixes("fd77:0:0:5::/64")}}
	d, problems := gatewayplan.Compute(in)
	require.NotEmpty(t, problems)
	assert.Equal(t, "overlay-local", problems[0].Code)
	assert.Contains(t, problems[0].Message, "fd77:0:0:5::/64 (the network of eth0)")
	assert.Contains(t, d.String(), "route throw fd77:0:0:5::/64 ")
	assert.False(t, overlaps(d.Firewall.Remote, netip.MustParsePrefix("fd77:0:0:5::/64")))
	assert.True(t, overlaps(d.Firewall.Remote, netip.MustParsePrefix("fd77::3/128")))

	in.Host.Links[0].Prefixes = prefixes("fd77::/32")
	d, problems = gatewayplan.Compute(in)
	assert.Equal(t, "overlay-local", problems[0].Code)
	assert.Contains(t, d.String(), "route fd77::3/128 nhid", "gateways stay reachable")
	assert.True(t, overlaps(d.Firewall.Remote, netip.MustParsePrefix("fd77::3/128")))
}

func TestPrefixWithTheEndpointOfAnotherDatacenterIsReported(t *testing.T) {
	in := running()
	north := &in.Catalog.Datacenters[1]
	north.Prefixes = append(north.Prefixes, catalog.Prefix{CIDR: netip.MustParsePrefix("192.0.2.4/31"), Kind: catalog.PodPrefix})
	_, problems := gatewayplan.Compute(in)
	require.NotEmpty(t, problems)
	last := problems[len(problems)-1]
	assert.Equal(t, "prefix-covers-endpoint", last.Code)
	assert.Contains(t, last.Message, "prefix 192.0.2.4/31 of datacenter north contains 192.0.2.4, at which gateway west/b is reached")
}

// TestDatacenterThatCoversWhatTheInviterReachesIsRefused judges a datacenter
// that requests admission, with the same rules as the plan.
func TestDatacenterThatCoversWhatTheInviterReachesIsRefused(t *testing.T) {
	in := running()
	in.Host.Links = []plan.Link{{Device: "eth0", Prefixes: prefixes("192.0.2.0/24")}}
	in.Host.Routes = []routes.HostRoute{via("10.12.200.0/24", "192.168.50.2")}
	south := datacenter("south", 4, "10.12.0.0/16")
	first := catalog.Gateway{Datacenter: "south", Name: "a", Endpoints: []string{"gw.example.org:51820", "192.0.2.9:51820"}}

	err := gatewayplan.RefuseDatacenter(in, south, first)
	var refusal *catalog.Refusal
	require.ErrorAs(t, err, &refusal)
	assert.Equal(t, "prefix-local", refusal.Code)
	assert.Equal(t, "prefixes", refusal.Field)
	assert.Contains(t, refusal.Message, "gateway east/a reaches otherwise and keeps local: the route 10.12.200.0/24 via 192.168.50.2")
	assert.Contains(t, refusal.Remedy, "on the gateways of datacenter east, set routing.accept.south")

	in.Host.Routes, in.Host.PolicyRoutes = nil, in.Host.Routes
	in.Host.PolicyRoutes[0].Table = 100
	require.ErrorAs(t, gatewayplan.RefuseDatacenter(in, south, first), &refusal)
	assert.Contains(t, refusal.Message, "keeps local: the route 10.12.200.0/24 via 192.168.50.2 of table 100")

	in.Config.Routing.Accept = map[catalog.DatacenterName][]netip.Prefix{"south": prefixes("10.12.0.0/17")}
	require.NoError(t, gatewayplan.RefuseDatacenter(in, south, first))
	in.Config.Routing.Accept = nil
	south.Prefixes[0] = catalog.Prefix{CIDR: netip.MustParsePrefix("192.0.2.9/32"), Kind: catalog.NodePrefix}
	require.NoError(t, gatewayplan.RefuseDatacenter(in, south, first), "a node on the network of the inviter")
	first.Endpoints = []string{"198.51.100.9:51820"}
	require.Error(t, gatewayplan.RefuseDatacenter(in, south, first), "no gateway of south is on that network")
}

func TestOverlayAroundTheHostIsRefused(t *testing.T) {
	host := plan.Host{
		Addresses: addresses("203.0.113.10"),
		Links:     []plan.Link{{Device: "eth0", Prefixes: prefixes("203.0.113.8/29")}},
		Routes:    []routes.HostRoute{via("0.0.0.0/0", "203.0.113.9")},
	}
	for _, overlay := range []string{"203.0.113.0/24", "203.0.113.8/29", "203.0.113.8/30"} {
		err := gatewayplan.RefuseOverlay(settings(), host, netip.MustParsePrefix(overlay))
		var refusal *catalog.Refusal
		require.ErrorAs(t, err, &refusal, overlay)
		assert.Equal(t, "overlay-local", refusal.Code)
		assert.Equal(t, "overlay", refusal.Field)
		assert.Contains(t, refusal.Message, "203.0.113.8/29 (the network of eth0)")
	}
	require.NoError(t, gatewayplan.RefuseOverlay(settings(), host, netip.MustParsePrefix("203.0.113.128/25")))
}

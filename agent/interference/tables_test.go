package interference_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/interference"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// lookups returns the queries as arguments of "ip route get".
func lookups(p interference.Paths) []string {
	var out []string
	for _, q := range p.Queries() {
		out = append(out, q.String())
	}
	return out
}

// TestRoutesToAPartOfAPrefixInTablesOfOthersAreNamed has tables that route a part of a
// datacenter's prefixes, as those of VPNs do.
func TestRoutesToAPartOfAPrefixInTablesOfOthersAreNamed(t *testing.T) {
	via := func(prefix string) routes.HostRoute {
		return routes.HostRoute{Prefix: netip.MustParsePrefix(prefix), Device: "eth0", Via: addresses("203.0.113.9")[0]}
	}
	for name, c := range map[string]struct {
		rule   routes.ForeignRule
		table  []routes.HostRoute
		lookup string
		found  string // prefix of the route that the kernel finds
		cause  string // empty: none of the queries is for it
		remedy string
	}{
		"a part": {
			routes.ForeignRule{},
			[]routes.HostRoute{via("10.3.1.0/24")},
			"10.3.1.1 from 10.1.0.2 iif cni0", "10.3.1.0/24",
			`rule "pref 7 lookup 99", which precedes Meshway's rule 5400 and points to route "10.3.1.0/24 via 203.0.113.9" of table 99`,
			"run ip rule del pref 7 lookup 99, or add the rule again with a priority above 5400, or run ip route del 10.3.1.0/24 table 99",
		},
		"a part, for the sources of pods": {
			routes.ForeignRule{Selector: routes.Selector{From: netip.MustParsePrefix("10.1.0.0/16")}},
			[]routes.HostRoute{via("10.3.1.0/24")},
			"10.3.1.1 from 10.1.0.2 iif cni0", "10.3.1.0/24",
			`rule "pref 7 from 10.1.0.0/16 lookup 99", which precedes Meshway's rule 5400 and points to route "10.3.1.0/24 via 203.0.113.9" of table 99`,
			"run ip rule del pref 7 from 10.1.0.0/16 lookup 99, or add the rule again with a priority above 5400, or run ip route del 10.3.1.0/24 table 99",
		},
		"a single address of IPv6": {
			routes.ForeignRule{Family: routes.IPv6},
			[]routes.HostRoute{{Prefix: netip.MustParsePrefix("fd00:3::77/128"), Device: "eth0"}},
			"fd00:3::77 from fd00:1::2 iif cni0", "fd00:3::77/128",
			`rule "pref 7 lookup 99", which precedes Meshway's rule 5400 and points to route "fd00:3::77/128 dev eth0" of table 99`,
			"run ip -6 rule del pref 7 lookup 99, or add the rule again with a priority above 5400, or run ip -6 route del fd00:3::77/128 table 99",
		},
		"all except the first part": {
			routes.ForeignRule{},
			[]routes.HostRoute{via("0.0.0.0/0"), {Prefix: netip.MustParsePrefix("10.3.0.0/17"), Throw: true}},
			"10.3.128.0", "0.0.0.0/0",
			`rule "pref 7 lookup 99", which precedes Meshway's rule 5400`,
			"run ip rule del pref 7 lookup 99, or add the rule again with a priority above 5400",
		},
		"another prefix of the datacenter": {
			routes.ForeignRule{},
			[]routes.HostRoute{via("10.22.0.0/16")},
			"10.22.0.1 from 10.1.0.2 iif cni0", "10.22.0.0/16",
			`rule "pref 7 lookup 99", which precedes Meshway's rule 5400 and points to route "10.22.0.0/16 via 203.0.113.9" of table 99`,
			"run ip rule del pref 7 lookup 99, or add the rule again with a priority above 5400, or run ip route del 10.22.0.0/16 table 99",
		},
		"a part into a tunnel": {routes.ForeignRule{}, []routes.HostRoute{{Prefix: netip.MustParsePrefix("10.3.1.0/24"), Device: "mesh0"}}, "10.3.1.1", "", "", ""},
		"too short":            {routes.ForeignRule{Shortest: 25}, []routes.HostRoute{via("10.3.1.0/24")}, "10.3.1.1", "", "", ""},
		"after our rule":       {routes.ForeignRule{Priority: 5500}, []routes.HostRoute{via("10.3.1.0/24")}, "10.3.1.1", "", "", ""},
		"elsewhere":            {routes.ForeignRule{}, []routes.HostRoute{via("10.4.1.0/24")}, "10.4.1.1", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := dualPaths()
			p.Datacenters[0].Prefixes = append(p.Datacenters[0].Prefixes, catalog.Prefix{CIDR: netip.MustParsePrefix("10.22.0.0/16"), Kind: catalog.ServicePrefix})
			p.Routed = append([]netip.Prefix{p.Routed[0], netip.MustParsePrefix("10.22.0.0/16")}, p.Routed[1:]...) // sorted
			r := c.rule
			r.Family, r.Priority, r.Table = max(r.Family, routes.IPv4), max(r.Priority, 7), 99
			p.Observed.ForeignRules, p.Observed.Tables = []routes.ForeignRule{r}, map[int][]routes.HostRoute{99: c.table}
			if c.cause == "" {
				assert.NotContains(t, lookups(p), c.lookup)
				return
			}
			queries := p.Queries()
			i := slices.IndexFunc(queries, func(q interference.PathQuery) bool { return q.String() == c.lookup })
			require.GreaterOrEqual(t, i, 0, queries)
			found := routes.Lookup{Table: 99, Device: c.table[0].Device, Via: c.table[0].Via, Prefix: netip.MustParsePrefix(c.found)}
			problem, diverted := p.Problem(queries[i], found)
			assert.True(t, diverted)
			assert.Equal(t, plan.Problem{
				Code: "traffic-diverted", Severity: plan.Error, Subject: "datacenter west", Remedy: c.remedy,
				Message: "packets to datacenter west would leave on eth0 outside of the tunnels and are dropped: the cause is " + c.cause,
			}, problem)
		})
	}
}

// TestRulesThatDoNotConcernPodsCauseNoLookups has rules of healthy hosts: a second uplink,
// a bridge of containers, and sockets that are bound to a device.
func TestRulesThatDoNotConcernPodsCauseNoLookups(t *testing.T) {
	base := lookups(dualPaths())
	for name, c := range map[string]struct {
		selector routes.Selector
		lookups  bool
	}{
		"the source of a second uplink":      {routes.Selector{From: netip.MustParsePrefix("198.51.100.0/24")}, false},
		"a bridge of containers":             {routes.Selector{In: "docker0"}, false},
		"sockets that are bound to a device": {routes.Selector{Out: "eth1"}, false},
		"packets from a second uplink":       {routes.Selector{In: "eth1"}, false},
		"sources in services":                {routes.Selector{From: netip.MustParsePrefix("10.96.0.0/16")}, false},
		"pods":                               {routes.Selector{In: "cni0", TOS: 4}, true},
		"pods of other hosts":                {routes.Selector{In: "flannel.1"}, true},
		"sources of pods elsewhere":          {routes.Selector{From: netip.MustParsePrefix("10.1.7.0/24")}, true},
		"sockets that are bound to a lane":   {routes.Selector{Out: "mesh0"}, true},
	} {
		p := dualPaths()
		p.Own = append(p.Own, catalog.Prefix{CIDR: netip.MustParsePrefix("10.96.0.0/16"), Kind: catalog.ServicePrefix})
		p.Host.Addresses = append(p.Host.Addresses, addresses("198.51.100.2")...)
		p.Host.Routes = []routes.HostRoute{
			{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Device: "eth0"},
			{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Device: "eth1"},
			{Prefix: netip.MustParsePrefix("172.17.0.0/16"), Device: "docker0"},
			{Prefix: netip.MustParsePrefix("10.1.0.0/16"), Device: "flannel.1", Via: addresses("10.1.9.0")[0]},
		}
		p.Observed.ForeignRules = []routes.ForeignRule{{Family: routes.IPv4, Priority: 100, Table: 99, Selector: c.selector}}
		assert.Equal(t, c.lookups, len(lookups(p)) > len(base), "%s: %v", name, lookups(p))
	}
}

// TestTheOverlayIsLookedUp has rules for the addresses of gateways.
func TestTheOverlayIsLookedUp(t *testing.T) {
	const query = "fd99::3 from fd99::1"
	for name, c := range map[string]struct {
		rule   routes.ForeignRule
		lookup string
		found  routes.Lookup
		what   string
	}{
		"all is dropped": {routes.ForeignRule{Drop: "unreachable"}, query, routes.Lookup{}, `are dropped: the cause is rule "pref 7 unreachable", which precedes Meshway's rule 5400`},
		"the overlay is dropped": {
			routes.ForeignRule{Drop: "prohibit", Selector: routes.Selector{To: netip.MustParsePrefix("fd99::/48")}},
			query,
			routes.Lookup{},
			`are dropped: the cause is rule "pref 7 to fd99::/48 prohibit", which precedes Meshway's rule 5400`,
		},
		"the main table": {
			routes.ForeignRule{Table: 254},
			query,
			routes.Lookup{Table: 254, Device: "eth0"},
			`would leave on eth0 outside of the tunnels and are dropped: the cause is rule "pref 7 lookup main", which precedes Meshway's rule 5400`,
		},
		"one gateway": {
			routes.ForeignRule{Table: 99},
			"fd99::4 from fd99::1",
			routes.Lookup{Table: 99, Device: "eth0", Prefix: netip.MustParsePrefix("fd99::4/128")},
			`would leave on eth0 outside of the tunnels and are dropped: the cause is rule "pref 7 lookup 99", which precedes Meshway's rule 5400 and points to route "fd99::4/128 dev eth0" of table 99`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := diversionPaths() // without prefixes of IPv6
			for _, remote := range addresses("fd99::3", "fd99::4") {
				p.Sessions = append(p.Sessions, plan.SessionConfig{Gateway: "west/g", Device: "mesh0", Local: addresses("fd99::1")[0], Remote: remote})
			}
			c.rule.Family, c.rule.Priority = routes.IPv6, 7
			p.Observed.ForeignRules = []routes.ForeignRule{c.rule}
			p.Observed.Tables = map[int][]routes.HostRoute{99: {{Prefix: netip.MustParsePrefix("fd99::4/128"), Device: "eth0"}}}
			queries := p.Queries()
			i := slices.IndexFunc(queries, func(q interference.PathQuery) bool { return q.String() == c.lookup })
			require.GreaterOrEqual(t, i, 0, queries)
			problem, _ := p.Problem(queries[i], c.found)
			assert.Equal(t, "packets to datacenter west "+c.what, problem.Message)
			_, wrong := p.Problem(queries[i], routes.Lookup{Table: 7117, Device: "mesh0", Nexthop: routes.LaneNexthopID(0, routes.IPv6)})
			assert.False(t, wrong)
		})
	}
}

// TestRoutesOfOthersInOurTableAreNamed has routes that drop packets, end the lookup, or
// lead elsewhere.
func TestRoutesOfOthersInOurTableAreNamed(t *testing.T) {
	part := netip.MustParsePrefix("10.3.5.0/24")
	const (
		dropped = "packets to datacenter west are dropped: the cause is route "
		in      = " of another program in table 7117"
	)
	for name, c := range map[string]struct {
		foreign routes.ForeignRoute
		own     []routes.Route
		found   routes.Lookup
		message string
		remedy  string
	}{
		"blackhole":   {routes.ForeignRoute{Drop: "blackhole"}, nil, routes.Lookup{Blackhole: true}, dropped + `"blackhole 10.3.5.0/24"` + in, "run ip route del blackhole 10.3.5.0/24 table 7117"},
		"unreachable": {routes.ForeignRoute{Drop: "unreachable"}, nil, routes.Lookup{}, dropped + `"unreachable 10.3.5.0/24"` + in, "run ip route del unreachable 10.3.5.0/24 table 7117"},
		"throw": {
			routes.ForeignRoute{Throw: true},
			nil,
			routes.Lookup{Table: 254, Device: "eth0"},
			`packets to datacenter west would leave on eth0 outside of the tunnels and are dropped: the cause is route "throw 10.3.5.0/24"` + in, "run ip route del throw 10.3.5.0/24 table 7117",
		},
		"throw without another route": {routes.ForeignRoute{Throw: true}, nil, routes.Lookup{}, dropped + `"throw 10.3.5.0/24"` + in, "run ip route del throw 10.3.5.0/24 table 7117"},
		"a tunnel": {
			routes.ForeignRoute{Device: "mesh0"},
			nil,
			routes.Lookup{Table: 7117, Device: "mesh0", Prefix: part},
			"packets to datacenter west leave on mesh0 whether or not its gateway works: the cause is route 10.3.5.0/24" + in, "run ip route del 10.3.5.0/24 table 7117",
		},
		"a blackhole of ours in it":        {routes.ForeignRoute{Drop: "blackhole"}, []routes.Route{{Prefix: netip.MustParsePrefix("10.3.5.0/28")}}, routes.Lookup{Blackhole: true}, "", ""},
		"a blackhole of ours precedes it":  {routes.ForeignRoute{Drop: "blackhole"}, []routes.Route{{Prefix: part}}, routes.Lookup{Blackhole: true}, "", ""},
		"it precedes ours by its metric":   {routes.ForeignRoute{Drop: "blackhole", Precedes: true}, []routes.Route{{Prefix: part}}, routes.Lookup{Blackhole: true}, dropped + `"blackhole 10.3.5.0/24"` + in, "run ip route del blackhole 10.3.5.0/24 table 7117"},
		"it precedes our guard":            {routes.ForeignRoute{Drop: "blackhole"}, []routes.Route{{Prefix: part, Kind: routes.Guard}}, routes.Lookup{Blackhole: true}, dropped + `"blackhole 10.3.5.0/24"` + in, "run ip route del blackhole 10.3.5.0/24 table 7117"},
		"a tunnel is down, and it is not ": {routes.ForeignRoute{Device: "eth1"}, nil, routes.Lookup{Blackhole: true}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := diversionPaths()
			p.Lanes = []string{"mesh0"}
			c.foreign.Prefix = part
			p.Observed.Foreign, p.Observed.Routes = []routes.ForeignRoute{c.foreign}, c.own
			queries := p.Queries()
			i := slices.IndexFunc(queries, func(q interference.PathQuery) bool { return q.String() == "10.3.5.1 from 10.1.0.2 iif cni0" })
			require.GreaterOrEqual(t, i, 0, queries)
			problem, _ := p.Problem(queries[i], c.found)
			assert.Equal(t, c.message, problem.Message)
			assert.Equal(t, c.remedy, problem.Remedy)
		})
	}
}

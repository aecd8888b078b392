package interference_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/interference"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
)

// TestRulesToTablesThatDropAreNamed has rules to tables with routes that drop packets. The kernel
// does not show the table of such a route.
func TestRulesToTablesThatDropAreNamed(t *testing.T) {
	drop := func(kind, prefix string) routes.HostRoute {
		return routes.HostRoute{Prefix: netip.MustParsePrefix(prefix), Drop: kind}
	}
	throw := func(prefix string) routes.HostRoute {
		return routes.HostRoute{Prefix: netip.MustParsePrefix(prefix), Throw: true}
	}
	const (
		west  = "packets to datacenter west are dropped: the cause is rule "
		above = ", or add the rule again with a priority above 5400, or run "
	)
	for name, c := range map[string]struct {
		rule            routes.ForeignRule
		table           []routes.HostRoute
		lookup          string // is one of the queries
		message, remedy string // empty: no problem
	}{
		"all": {
			routes.ForeignRule{},
			[]routes.HostRoute{drop("blackhole", "0.0.0.0/0")},
			"10.3.0.1 from 10.1.0.2 iif cni0",
			west + `"pref 7 lookup 99", which precedes Meshway's rule 5400 and points to route "blackhole 0.0.0.0/0" of table 99`,
			"run ip rule del pref 7 lookup 99" + above + "ip route del blackhole 0.0.0.0/0 table 99",
		},
		"a part of a prefix": {
			routes.ForeignRule{},
			[]routes.HostRoute{throw("0.0.0.0/0"), drop("unreachable", "10.3.64.0/18")},
			"10.3.64.1",
			west + `"pref 7 lookup 99", which precedes Meshway's rule 5400 and points to route "unreachable 10.3.64.0/18" of table 99`,
			"run ip rule del pref 7 lookup 99" + above + "ip route del unreachable 10.3.64.0/18 table 99",
		},
		"a part, of the sources of pods": {
			routes.ForeignRule{Selector: routes.Selector{From: netip.MustParsePrefix("10.1.0.0/24")}},
			[]routes.HostRoute{drop("prohibit", "10.3.64.0/18")},
			"10.3.64.1 from 10.1.0.2 iif cni0",
			west + `"pref 7 from 10.1.0.0/24 lookup 99", which precedes Meshway's rule 5400 and points to route "prohibit 10.3.64.0/18" of table 99`,
			"run ip rule del pref 7 from 10.1.0.0/24 lookup 99" + above + "ip route del prohibit 10.3.64.0/18 table 99",
		},
		"some packets of IPv6": {
			routes.ForeignRule{Family: routes.IPv6, Selector: routes.Selector{Protocol: 6}},
			[]routes.HostRoute{drop("prohibit", "fd00:3:0:7::/64")},
			"fd00:3:0:7::1 from fd00:1::2 iif cni0 ipproto tcp",
			"some " + west + `"pref 7 ipproto tcp lookup 99", which precedes Meshway's rule 5400 and points to route "prohibit fd00:3:0:7::/64" of table 99`,
			"run ip -6 rule del pref 7 ipproto tcp lookup 99" + above + "ip -6 route del prohibit fd00:3:0:7::/64 table 99",
		},
		"a destination of the rule": {
			routes.ForeignRule{Selector: routes.Selector{To: netip.MustParsePrefix("10.3.9.0/24")}},
			[]routes.HostRoute{drop("blackhole", "10.3.0.0/16")},
			"10.3.9.1",
			west + `"pref 7 to 10.3.9.0/24 lookup 99", which precedes Meshway's rule 5400 and points to route "blackhole 10.3.0.0/16" of table 99`,
			"run ip rule del pref 7 to 10.3.9.0/24 lookup 99" + above + "ip route del blackhole 10.3.0.0/16 table 99",
		},
		"what arrives": {
			routes.ForeignRule{Selector: routes.Selector{In: "mesh0"}},
			[]routes.HostRoute{drop("unreachable", "10.1.0.0/16")},
			"10.1.0.2 from 10.3.0.1 iif mesh0",
			`packets from datacenter west to pods of this host are dropped: the cause is rule "pref 7 iif mesh0 lookup 99", which points to route "unreachable 10.1.0.0/16" of table 99`,
			"run ip rule del pref 7 iif mesh0 lookup 99, or exclude the packets from it",
		},
		"what arrives, after our rule": {
			routes.ForeignRule{Priority: 6000},
			[]routes.HostRoute{drop("blackhole", "0.0.0.0/0")},
			"10.1.0.2 from 10.3.0.1 iif mesh0",
			`packets from datacenter west to pods of this host are dropped: the cause is rule "pref 6000 lookup 99", which points to route "blackhole 0.0.0.0/0" of table 99`,
			"run ip rule del pref 6000 lookup 99, or exclude the packets from it",
		},
		"no route":             {routes.ForeignRule{}, []routes.HostRoute{throw("0.0.0.0/0")}, "10.3.0.1", "", ""},
		"a throw route":        {routes.ForeignRule{}, []routes.HostRoute{drop("blackhole", "10.0.0.0/8"), throw("10.3.0.0/16")}, "10.3.0.1", "", ""},
		"other destinations":   {routes.ForeignRule{}, []routes.HostRoute{drop("blackhole", "10.4.0.0/16")}, "10.3.0.1", "", ""},
		"too short a prefix":   {routes.ForeignRule{Shortest: 1}, []routes.HostRoute{drop("blackhole", "0.0.0.0/0")}, "10.3.0.1", "", ""},
		"a rule after ours":    {routes.ForeignRule{Priority: 5500}, []routes.HostRoute{drop("blackhole", "0.0.0.0/0")}, "10.3.0.1", "", ""},
		"marked packets":       {routes.ForeignRule{Selector: routes.Selector{Mark: 1, Mask: 1}}, []routes.HostRoute{drop("blackhole", "0.0.0.0/0")}, "10.3.0.1", "", ""},
		"an unknown selector":  {routes.ForeignRule{Selector: routes.Selector{More: true}}, []routes.HostRoute{drop("blackhole", "0.0.0.0/0")}, "10.3.0.1", "", ""},
		"packets of others":    {routes.ForeignRule{Selector: routes.Selector{From: netip.MustParsePrefix("10.5.0.0/16")}}, []routes.HostRoute{drop("blackhole", "0.0.0.0/0")}, "10.3.0.1", "", ""},
		"the pods of the host": {routes.ForeignRule{Table: 254}, []routes.HostRoute{drop("blackhole", "10.1.0.0/16")}, "10.3.0.1", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := dualPaths()
			r := c.rule
			r.Family, r.Priority, r.Table = max(r.Family, routes.IPv4), max(r.Priority, 7), max(r.Table, 99)
			p.Observed.ForeignRules, p.Observed.Tables = []routes.ForeignRule{r}, map[int][]routes.HostRoute{r.Table: c.table}
			queries := p.Queries()
			i := slices.IndexFunc(queries, func(q interference.PathQuery) bool { return q.String() == c.lookup })
			if !assert.GreaterOrEqual(t, i, 0, queries) {
				return
			}
			problem, dropped := p.Problem(queries[i], routes.Lookup{})
			want := plan.Problem{}
			if c.message != "" {
				want = plan.Problem{Code: "traffic-diverted", Severity: plan.Error, Subject: "datacenter west", Message: c.message, Remedy: c.remedy}
			}
			assert.Equal(t, want, problem)
			assert.Equal(t, c.message != "", dropped)
		})
	}
}

func TestLookupsForTablesAreBounded(t *testing.T) {
	p := dualPaths()
	p.Observed.ForeignRules = []routes.ForeignRule{{Family: routes.IPv4, Priority: 7, Table: 99}}
	base := len(dualPaths().Queries())
	var parts []routes.HostRoute
	for i := range 250 {
		parts = append(parts, routes.HostRoute{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 3, byte(i) + 1, 0}), 24), Drop: "blackhole"})
	}
	p.Observed.Tables = map[int][]routes.HostRoute{99: parts}
	assert.Len(t, p.Queries(), base+5, "two addresses of a datacenter, and one packet that arrives")
	p.Observed.Tables = map[int][]routes.HostRoute{99: {{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Drop: "blackhole"}}}
	assert.Len(t, p.Queries(), base+1, "those of packets that leave are not repeated, and one is for what arrives")
	p.Observed.Tables[99] = parts
	for i := range 100 {
		p.Observed.ForeignRules = append(p.Observed.ForeignRules, routes.ForeignRule{
			Family: routes.IPv4, Priority: 8, Table: 99, Selector: routes.Selector{To: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 3, byte(i), 0}), 24)},
		})
	}
	assert.LessOrEqual(t, len(p.Queries()), base+64, "of all rules together")
}

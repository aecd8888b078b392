package interference_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/interference"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

func diversionPaths() interference.Paths {
	return interference.Paths{
		Config: config.Config{
			Control:   config.Control{Listen: netip.MustParseAddrPort("[::]:7443")},
			WireGuard: config.WireGuard{Interface: "mesh", Port: 51820},
			Routing:   config.Routing{Table: 7117, RulePriority: 5400, Mark: 0x20},
		},
		Host:        plan.Host{Addresses: addresses("10.1.0.1"), Links: []plan.Link{{Device: "cni0", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}}}},
		Own:         []catalog.Prefix{{CIDR: netip.MustParsePrefix("10.1.0.0/16"), Kind: catalog.PodPrefix}},
		Datacenters: []catalog.Datacenter{datacenter("west", "10.3.0.0/16"), datacenter("elsewhere", "10.9.0.0/16")},
		Routed:      []netip.Prefix{netip.MustParsePrefix("10.3.0.0/16")},
	}
}

func TestTrafficThatAnotherProgramDivertsIsReportedWithItsCause(t *testing.T) {
	rule := func(priority int, change func(*routes.ForeignRule)) []routes.ForeignRule {
		r := routes.ForeignRule{Family: routes.IPv4, Priority: priority, Table: 254}
		if change != nil {
			change(&r)
		}
		return []routes.ForeignRule{r}
	}
	main := routes.Lookup{Table: 254, Device: "eth0"}
	for name, c := range map[string]struct {
		rules  []routes.ForeignRule
		found  routes.Lookup
		remedy string // empty: no problem
	}{
		"rule":             {rule(100, nil), main, `run ip rule del pref 100 lookup main, or add the rule again with a priority above 5400`},
		"rule for sources": {rule(5, func(r *routes.ForeignRule) { r.From = netip.MustParsePrefix("10.1.0.0/24") }), main, "run ip rule del pref 5 from 10.1.0.0/24 lookup main, or add the rule again with a priority above 5400"},
		"rule for others":  {rule(5, func(r *routes.ForeignRule) { r.From = netip.MustParsePrefix("10.1.9.0/24") }), main, ""},
		"rule for marks":   {rule(5, func(r *routes.ForeignRule) { r.Mark, r.Mask = 1, 1 }), main, ""},
		"rule that prohibits": {rule(75, func(r *routes.ForeignRule) {
			r.Table, r.Drop, r.To = 0, "prohibit", netip.MustParsePrefix("10.3.0.0/16")
		}), routes.Lookup{}, "run ip rule del pref 75 to 10.3.0.0/16 prohibit, or add the rule again with a priority above 5400"},
		"rule that drops":          {rule(75, func(r *routes.ForeignRule) { r.Table, r.Drop = 0, "blackhole" }), routes.Lookup{Blackhole: true}, "run ip rule del pref 75 blackhole, or add the rule again with a priority above 5400"},
		"rule that drops some":     {rule(75, func(r *routes.ForeignRule) { r.Table, r.Drop, r.More = 0, "blackhole", true }), routes.Lookup{Blackhole: true}, ""},
		"rule that drops later":    {rule(5500, func(r *routes.ForeignRule) { r.Table, r.Drop = 0, "blackhole" }), routes.Lookup{}, ""},
		"rule that drops none":     {rule(75, func(r *routes.ForeignRule) { r.Table, r.Drop, r.Mark, r.Mask = 0, "blackhole", 1, 1 }), main, ""},
		"rule of some routes":      {rule(75, func(r *routes.ForeignRule) { r.Shortest = 1 }), routes.Lookup{Table: 254, Prefix: netip.MustParsePrefix("10.0.0.0/8"), Device: "eth0"}, "run ip rule del pref 75 lookup main suppress_prefixlength 0, or add the rule again with a priority above 5400"},
		"rule of no such route":    {rule(75, func(r *routes.ForeignRule) { r.Shortest = 1 }), routes.Lookup{Table: 254, Prefix: netip.MustParsePrefix("0.0.0.0/0"), Device: "eth0"}, ""},
		"rule of another protocol": {rule(75, func(r *routes.ForeignRule) { r.Protocol = 6 }), main, ""},
		"rule of another user":     {rule(75, func(r *routes.ForeignRule) { r.Users = routes.Range{Limited: true, First: 1, Last: 9} }), main, ""},
		"rule that skips ours":     {rule(70, func(r *routes.ForeignRule) { r.Table, r.Goto = 0, 32766 }), main, "run ip rule del pref 70 goto 32766, or add the rule again with a priority above 5400"},
		"rule that skips others":   {rule(70, func(r *routes.ForeignRule) { r.Table, r.Goto = 0, 5300 }), main, ""},
		"rule after ours":          {rule(5500, nil), main, ""},
		"no rule yet":              {nil, main, ""},
		"route in our table":       {nil, routes.Lookup{Table: 7117, Prefix: netip.MustParsePrefix("10.3.0.0/24"), Device: "eth0"}, "run ip route del 10.3.0.0/24 table 7117"},
		"our route":                {rule(100, nil), routes.Lookup{Table: 7117, Device: "mesh0", Nexthop: routes.GroupID(3, routes.IPv4)}, ""},
		"our guard":                {nil, routes.Lookup{Table: 7117, Blackhole: true}, ""},
		"address of the host":      {rule(0, nil), routes.Lookup{Table: 255, Device: "lo"}, ""},
	} {
		p := diversionPaths()
		p.Observed.ForeignRules = c.rules
		q := interference.PathQuery{Datacenter: "west", Query: routes.Query{Destination: addresses("10.3.0.1")[0], Source: addresses("10.1.0.2")[0], In: "cni0"}}
		problem, diverted := p.Problem(q, c.found)
		assert.Equal(t, c.remedy != "", diverted, name)
		assert.Equal(t, c.remedy, problem.Remedy, name)
	}
}

// TestRulesForSomePacketsAreReported looks up in the table of a rule what the rule selects.
func TestRulesForSomePacketsAreReported(t *testing.T) {
	ports := func(first, last uint32) routes.Range { return routes.Range{Limited: true, First: first, Last: last} }
	for name, c := range map[string]struct {
		rule   routes.ForeignRule
		lookup string
		remedy string
	}{
		"port": {
			routes.ForeignRule{Selector: routes.Selector{Protocol: 6, ToPorts: ports(443, 443)}},
			"10.3.0.1 from 10.1.0.2 iif cni0 ipproto tcp dport 443", "run ip rule del pref 7 ipproto tcp dport 443 lookup 99",
		},
		"ports of a prefix": {
			routes.ForeignRule{Selector: routes.Selector{To: netip.MustParsePrefix("10.3.4.0/24"), Protocol: 17, FromPorts: ports(5, 6)}},
			"10.3.4.1 from 10.1.0.2 iif cni0 ipproto udp sport 5", "run ip rule del pref 7 to 10.3.4.0/24 ipproto udp sport 5-6 lookup 99",
		},
		"class": {
			routes.ForeignRule{Selector: routes.Selector{TOS: 0x10}},
			"10.3.0.1 from 10.1.0.2 iif cni0 tos 0x10", "run ip rule del pref 7 tos 0x10 lookup 99",
		},
		"user": {routes.ForeignRule{Selector: routes.Selector{Users: ports(1000, 1999)}}, "10.3.0.1 uid 1000", "run ip rule del pref 7 uidrange 1000-1999 lookup 99"},
		"all but a protocol": {
			routes.ForeignRule{Not: true, Selector: routes.Selector{Protocol: 17}},
			"10.3.0.1 from 10.1.0.2 iif cni0 ipproto tcp", "run ip rule del pref 7 not ipproto udp lookup 99",
		},
		"IPv6": {routes.ForeignRule{Family: routes.IPv6, Selector: routes.Selector{Protocol: 6}}, "fd00:3::1 ipproto tcp", "run ip -6 rule del pref 7 ipproto tcp lookup 99"},
		"drop": {
			routes.ForeignRule{Drop: "prohibit", Selector: routes.Selector{Protocol: 6}},
			"10.3.0.1 from 10.1.0.2 iif cni0 ipproto tcp", "run ip rule del pref 7 ipproto tcp prohibit",
		},
	} {
		c.rule.Priority = 7
		if c.rule.Family == 0 {
			c.rule.Family = routes.IPv4
		}
		found := routes.Lookup{}
		if c.rule.Drop == "" {
			c.rule.Table, found = 99, routes.Lookup{Table: 99, Device: "eth1"}
		}
		p := diversionPaths()
		p.Datacenters[0].Prefixes = append(p.Datacenters[0].Prefixes, catalog.Prefix{CIDR: netip.MustParsePrefix("fd00:3::/64"), Kind: catalog.PodPrefix})
		p.Routed = append(p.Routed, netip.MustParsePrefix("fd00:3::/64"))
		p.Observed.ForeignRules = []routes.ForeignRule{c.rule}
		queries := p.Queries()
		i := slices.IndexFunc(queries, func(q interference.PathQuery) bool { return q.String() == c.lookup })
		if !assert.GreaterOrEqual(t, i, 0, "%s: %v", name, queries) {
			continue
		}
		problem, diverted := p.Problem(queries[i], found)
		assert.True(t, diverted, name)
		assert.Equal(t, c.remedy+", or add the rule again with a priority above 5400", problem.Remedy, name)
		assert.Contains(t, problem.Message, "some packets to datacenter west", name)
	}
}

func TestDropsAtTheGuardNameTheRulesForMarks(t *testing.T) {
	p := diversionPaths()
	assert.NotContains(t, p.UnencryptedDropped().Remedy, "rule \"")
	marked := routes.Selector{Mark: 1, Mask: 0xff}
	p.Observed.ForeignRules = []routes.ForeignRule{
		{Priority: 100, Table: 254, Selector: marked},
		{Priority: 101, Table: 254, Selector: routes.Selector{Mask: 0xff}}, // also found by a lookup
		{Priority: 102, Table: 254, Not: true, Selector: marked},
		{Priority: 103, Drop: "prohibit", Selector: marked},
		{Priority: 5500, Table: 254, Selector: marked},
	}
	assert.Contains(t, p.UnencryptedDropped().Remedy, `; first look for what sets the mark of rule "pref 100 fwmark 0x1/0xff lookup main"`)
	assert.Equal(t, 1, strings.Count(p.UnencryptedDropped().Remedy, "pref "))
}

func TestLookupsAreForPodsAndTheHostAndForNarrowRules(t *testing.T) {
	texts := func(p interference.Paths) (out []string) {
		for _, q := range p.Queries() {
			require.Equal(t, catalog.DatacenterName("west"), q.Datacenter, "the prefixes of elsewhere are not routed")
			out = append(out, q.String())
		}
		return out
	}
	p := diversionPaths()
	base := []string{"10.3.0.1", "10.3.0.1 from 10.1.0.2 iif cni0"}
	assert.Equal(t, base, texts(p))
	p.Observed.ForeignRules = []routes.ForeignRule{
		{Family: routes.IPv4, Priority: 100, Selector: routes.Selector{To: netip.MustParsePrefix("10.3.7.0/24")}, Table: 9},
		{Family: routes.IPv4, Priority: 101, Selector: routes.Selector{From: netip.MustParsePrefix("10.1.5.0/24")}, Table: 9},
		{Family: routes.IPv4, Priority: 102, Selector: routes.Selector{To: netip.MustParsePrefix("192.0.2.0/24")}, Table: 9},
	}
	p.Observed.Foreign = []routes.ForeignRoute{{Prefix: netip.MustParsePrefix("10.3.9.0/24")}}
	assert.Equal(t, append(base, "10.3.9.1", "10.3.9.1 from 10.1.0.2 iif cni0", "10.3.7.1", "10.3.7.1 from 10.1.0.2 iif cni0",
		"10.3.0.1 from 10.1.5.1 iif cni0"), texts(p))
	for i := range 250 {
		r := p.Observed.ForeignRules[0]
		r.To = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 3, 20, byte(i)}), 32)
		p.Observed.ForeignRules = append(p.Observed.ForeignRules, r)
	}
	assert.Len(t, p.Queries(), len(base)+64, "a program may have a rule for each pod")
}

func datacenter(name catalog.DatacenterName, pods string) catalog.Datacenter {
	return catalog.Datacenter{Name: name, Prefixes: []catalog.Prefix{{CIDR: netip.MustParsePrefix(pods), Kind: catalog.PodPrefix}}}
}

func addresses(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

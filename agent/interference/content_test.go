package interference_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/interference"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// dualPaths returns paths with prefixes of both families and one lane.
func dualPaths() interference.Paths {
	p := diversionPaths()
	p.Lanes = []string{"mesh0"}
	p.Host.Addresses = append(p.Host.Addresses, addresses("fd00:1::1")...)
	p.Host.Links[0].Prefixes = append(p.Host.Links[0].Prefixes, netip.MustParsePrefix("fd00:1::/64"))
	p.Own = append(p.Own, catalog.Prefix{CIDR: netip.MustParsePrefix("fd00:1::/48"), Kind: catalog.PodPrefix})
	p.Datacenters[0].Prefixes = append(p.Datacenters[0].Prefixes, catalog.Prefix{CIDR: netip.MustParsePrefix("fd00:3::/48"), Kind: catalog.PodPrefix})
	p.Routed = append(p.Routed, netip.MustParsePrefix("fd00:3::/48"))
	p.Observed.Tables = map[int][]routes.HostRoute{
		99: {
			{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Device: "eth1", Via: addresses("192.0.2.1")[0]},
			{Prefix: netip.MustParsePrefix("::/0"), Device: "eth1"},
			{Prefix: netip.MustParsePrefix("10.3.128.0/17"), Throw: true},
			{Prefix: netip.MustParsePrefix("10.3.64.0/18"), Drop: "blackhole"},
			{Prefix: netip.MustParsePrefix("10.3.32.0/19"), Device: "mesh0"},
		},
	}
	return p
}

// TestRulesThatTheKernelDoesNotLookUpAreDecidedByTheirContent has rules for packets for
// which the kernel refuses a lookup.
func TestRulesThatTheKernelDoesNotLookUpAreDecidedByTheirContent(t *testing.T) {
	rule := func(s routes.Selector) routes.ForeignRule {
		return routes.ForeignRule{Family: routes.IPv4, Priority: 7, Table: 99, Selector: s}
	}
	with := func(r routes.ForeignRule, change func(*routes.ForeignRule)) routes.ForeignRule {
		change(&r)
		return r
	}
	sctp := rule(routes.Selector{Protocol: 132})
	const (
		above   = ", or add the rule again with a priority above 5400"
		decided = "; the kernel looks up no such packets, so that this follows from the rule and its table"
		leaves  = " to datacenter west would leave on eth1 outside of the tunnels and are dropped by Meshway's firewall: the cause is rule "
		before  = ", which precedes Meshway's rule 5400 and points to route "
	)
	for name, c := range map[string]struct {
		rule    routes.ForeignRule
		message string // empty: no problem
		remedy  string
	}{
		"SCTP": {
			sctp, "packets of protocol sctp" + leaves + `"pref 7 ipproto sctp lookup 99"` + before + `"0.0.0.0/0 via 192.0.2.1 dev eth1" of table 99` + decided,
			"run ip rule del pref 7 ipproto sctp lookup 99" + above,
		},
		"GRE of IPv6": {
			with(rule(routes.Selector{Protocol: 47}), func(r *routes.ForeignRule) { r.Family = routes.IPv6 }),
			"packets of protocol gre" + leaves + `"pref 7 ipproto gre lookup 99"` + before + `"::/0 dev eth1" of table 99` + decided,
			"run ip -6 rule del pref 7 ipproto gre lookup 99" + above,
		},
		"ESP that is dropped": {
			with(rule(routes.Selector{Protocol: 50}), func(r *routes.ForeignRule) { r.Table, r.Drop = 0, "prohibit" }),
			`packets of protocol esp to datacenter west are dropped: the cause is rule "pref 7 ipproto esp prohibit", which precedes Meshway's rule 5400` + decided,
			"run ip rule del pref 7 ipproto esp prohibit" + above,
		},
		"UDP-Lite that skips ours": {
			with(rule(routes.Selector{Protocol: 136}), func(r *routes.ForeignRule) { r.Table, r.Goto = 0, 32766 }),
			"packets of protocol udplite to datacenter west do not use Meshway's routes and are dropped by Meshway's firewall: " +
				`the cause is rule "pref 7 ipproto udplite goto 32766", which precedes Meshway's rule 5400` + decided,
			"run ip rule del pref 7 ipproto udplite goto 32766" + above,
		},
		"ICMP of the other family": {
			rule(routes.Selector{Protocol: 58}), "packets of protocol ipv6-icmp" + leaves + `"pref 7 ipproto ipv6-icmp lookup 99"` + before + `"0.0.0.0/0 via 192.0.2.1 dev eth1" of table 99` + decided,
			"run ip rule del pref 7 ipproto ipv6-icmp lookup 99" + above,
		},
		"tunnel": {
			rule(routes.Selector{TunnelID: 5}), "packets from tunnels of other programs" + leaves + `"pref 7 tun_id 5 lookup 99"` + before + `"0.0.0.0/0 via 192.0.2.1 dev eth1" of table 99` + decided,
			"run ip rule del pref 7 tun_id 5 lookup 99" + above,
		},
		"a selector that is not known": {
			rule(routes.Selector{More: true}), "packets that the rule selects" + leaves + `"pref 7 lookup 99"` + before + `"0.0.0.0/0 via 192.0.2.1 dev eth1" of table 99` + decided,
			"run ip rule del pref 7 lookup 99" + above,
		},
		"a blackhole": {
			with(sctp, func(r *routes.ForeignRule) { r.To = netip.MustParsePrefix("10.3.64.0/24") }),
			`packets of protocol sctp to datacenter west are dropped: the cause is rule "pref 7 to 10.3.64.0/24 ipproto sctp lookup 99"` + before + `"blackhole 10.3.64.0/18" of table 99` + decided,
			"run ip rule del pref 7 to 10.3.64.0/24 ipproto sctp lookup 99" + above,
		},
		"a route that ends the lookup": {with(sctp, func(r *routes.ForeignRule) { r.To = netip.MustParsePrefix("10.3.129.0/24") }), "", ""},
		"a route to a tunnel":          {with(sctp, func(r *routes.ForeignRule) { r.To = netip.MustParsePrefix("10.3.33.0/24") }), "", ""},
		"other destinations":           {with(sctp, func(r *routes.ForeignRule) { r.To = netip.MustParsePrefix("10.4.0.0/24") }), "", ""},
		"sources elsewhere":            {with(sctp, func(r *routes.ForeignRule) { r.From = netip.MustParsePrefix("172.16.0.0/12") }), "", ""},
		"sources of pods": {
			with(sctp, func(r *routes.ForeignRule) { r.From = netip.MustParsePrefix("10.1.7.0/24") }),
			"packets of protocol sctp" + leaves + `"pref 7 from 10.1.7.0/24 ipproto sctp lookup 99"` + before + `"0.0.0.0/0 via 192.0.2.1 dev eth1" of table 99` + decided,
			"run ip rule del pref 7 from 10.1.7.0/24 ipproto sctp lookup 99" + above,
		},
		"a mark":        {with(sctp, func(r *routes.ForeignRule) { r.Mark, r.Mask = 1, 1 }), "", ""},
		"another table": {with(sctp, func(r *routes.ForeignRule) { r.Table = 98 }), "", ""},
		"no default route": {
			with(sctp, func(r *routes.ForeignRule) { r.Shortest = 1 }),
			`packets of protocol sctp to datacenter west are dropped: the cause is rule "pref 7 ipproto sctp lookup 99 suppress_prefixlength 0"` + before + `"blackhole 10.3.64.0/18" of table 99` + decided,
			"run ip rule del pref 7 ipproto sctp lookup 99 suppress_prefixlength 0" + above,
		},
		"no short routes":         {with(sctp, func(r *routes.ForeignRule) { r.Shortest = 19 }), "", ""},
		"a rule after ours":       {with(sctp, func(r *routes.ForeignRule) { r.Priority = 5500 }), "", ""},
		"all but SCTP":            {with(sctp, func(r *routes.ForeignRule) { r.Not = true }), "", ""},
		"a device of others":      {with(sctp, func(r *routes.ForeignRule) { r.In = "docker0" }), "", ""},
		"packets that are looked": {rule(routes.Selector{Protocol: 6}), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := dualPaths()
			p.Observed.ForeignRules = []routes.ForeignRule{c.rule}
			var want []plan.Problem
			if c.message != "" {
				want = []plan.Problem{{Code: "traffic-diverted", Severity: plan.Warning, Subject: "datacenter west", Message: c.message, Remedy: c.remedy}}
			}
			assert.Equal(t, want, p.NotLookedUp())
		})
	}
}

// TestRulesForTheLanesAreLookedUp has rules for what arrives on a lane, and for the
// sockets that are bound to one.
func TestRulesForTheLanesAreLookedUp(t *testing.T) {
	for name, c := range map[string]struct {
		rule    routes.ForeignRule
		lookup  string
		found   routes.Lookup
		message string
	}{
		"what arrives": {
			routes.ForeignRule{Family: routes.IPv4, Priority: 7, Table: 99, Selector: routes.Selector{In: "mesh0"}},
			"10.1.0.2 from 10.3.0.1 iif mesh0",
			routes.Lookup{Table: 99, Device: "eth1"},
			`packets from datacenter west to pods of this host would leave on eth1: the cause is rule "pref 7 iif mesh0 lookup 99"`,
		},
		"what arrives, IPv6, after our rule": {
			routes.ForeignRule{Family: routes.IPv6, Priority: 6000, Table: 99, Selector: routes.Selector{From: netip.MustParsePrefix("fd00:3::/48"), Protocol: 6}},
			"fd00:1::2 from fd00:3::1 iif mesh0 ipproto tcp",
			routes.Lookup{Table: 99, Device: "eth1"},
			`some packets from datacenter west to pods of this host would leave on eth1: the cause is rule "pref 6000 from fd00:3::/48 ipproto tcp lookup 99"`,
		},
		"what arrives and is dropped": {
			routes.ForeignRule{Family: routes.IPv4, Priority: 7, Drop: "blackhole", Selector: routes.Selector{In: "mesh0", TOS: 0x10}},
			"10.1.0.2 from 10.3.0.1 iif mesh0 tos 0x10",
			routes.Lookup{Blackhole: true},
			`some packets from datacenter west to pods of this host are dropped: the cause is rule "pref 7 tos 0x10 iif mesh0 blackhole"`,
		},
		"to pods": {
			routes.ForeignRule{Family: routes.IPv4, Priority: 7, Table: 99, Selector: routes.Selector{To: netip.MustParsePrefix("10.1.0.0/24")}},
			"10.1.0.2 from 10.3.0.1 iif mesh0",
			routes.Lookup{Table: 99, Device: "eth1"},
			`packets from datacenter west to pods of this host would leave on eth1: the cause is rule "pref 7 to 10.1.0.0/24 lookup 99"`,
		},
		"sockets": {
			routes.ForeignRule{Family: routes.IPv4, Priority: 7, Table: 99, Selector: routes.Selector{Out: "mesh0"}},
			"10.3.0.1 oif mesh0",
			routes.Lookup{Table: 99, Device: "mesh9"},
			`packets to datacenter west would leave on mesh9 outside of the tunnels and are dropped: the cause is rule "pref 7 oif mesh0 lookup 99", which precedes Meshway's rule 5400`,
		},
		"class of DSCP": {
			routes.ForeignRule{Family: routes.IPv6, Priority: 7, Table: 99, Selector: routes.Selector{DSCP: routes.Bits{Limited: true, Value: 46, Mask: 63}}},
			"fd00:3::1 from fd00:1::2 iif cni0 tos 0xb8",
			routes.Lookup{Table: 99, Device: "eth1"},
			`some packets to datacenter west would leave on eth1 outside of the tunnels and are dropped: the cause is rule "pref 7 dscp 46 lookup 99", which precedes Meshway's rule 5400`,
		},
		"VRF": {
			routes.ForeignRule{Family: routes.IPv4, Priority: 1000, Selector: routes.Selector{L3Master: true}},
			"10.3.0.1 from 10.1.0.2 iif cni0",
			routes.Lookup{Table: 10, Device: "eth1"},
			`packets to datacenter west would leave on eth1 outside of the tunnels and are dropped: the cause is rule "pref 1000 l3mdev", which precedes Meshway's rule 5400`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := dualPaths()
			p.Observed.ForeignRules = []routes.ForeignRule{c.rule}
			var found []string
			for _, q := range p.Queries() {
				if q.String() == c.lookup {
					problem, diverted := p.Problem(q, c.found)
					require.True(t, diverted, q)
					assert.Equal(t, plan.Error, problem.Severity)
					found = append(found, problem.Message)
				}
			}
			assert.Contains(t, found, c.message)
		})
	}
}

// TestWhatArrivesMayTakeTheHostsOwnRoutes has rules of others that are not for it, or that
// point to the pods as well.
func TestWhatArrivesMayTakeTheHostsOwnRoutes(t *testing.T) {
	p := dualPaths()
	p.Observed.ForeignRules = []routes.ForeignRule{{Family: routes.IPv4, Priority: 7, Table: 99, Selector: routes.Selector{In: "mesh0"}}}
	i := 0
	for _, q := range p.Queries() {
		if q.In != "mesh0" {
			continue
		}
		i++
		for name, found := range map[string]routes.Lookup{
			"the rule points to the pods": {Table: 99, Device: "cni0"},
			"the main table":              {Table: 254, Device: "eth0"},
			"this host":                   {Table: 255, Device: "lo"},
			"no route for now":            {},
		} {
			problem, diverted := p.Problem(q, found)
			assert.False(t, diverted, "%s: %v", name, problem)
		}
	}
	assert.Positive(t, i)
}

package interference_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/interference"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/ruleset"
)

// TestMarksThatOthersSetAreLookedUp has rules that mark packets of pods and of this host.
func TestMarksThatOthersSetAreLookedUp(t *testing.T) {
	const (
		mark7  = `{"mangle": {"key": {"meta": {"key": "mark"}}, "value": 7}}`
		mark30 = `[{"mangle": {"key": {"meta": {"key": "mark"}}, "value": 48}}]`
		port   = `{"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 53}}, `
		by     = `the rule "its rule" in chain inet fw `
	)
	fwmark := routes.Selector{Mark: 7, Mask: 0xff}
	for name, c := range map[string]struct {
		hook, rule string
		rules      []routes.ForeignRule
		lookup     string
		found      routes.Lookup
		message    string // empty: no problem
		remedy     string
	}{
		"a rule that drops": {
			"prerouting", "[" + mark7 + "]",
			[]routes.ForeignRule{{Priority: 50, Drop: "blackhole", Selector: fwmark}},
			"10.3.0.1 from 10.1.0.2 iif cni0 mark 0x7",
			routes.Lookup{Blackhole: true},
			`packets to datacenter west are dropped: the cause is rule "pref 50 fwmark 0x7/0xff blackhole", which precedes Meshway's rule 5400; the packets get the mark 0x7 from ` + by + "prerouting",
			"run ip rule del pref 50 fwmark 0x7/0xff blackhole, or add the rule again with a priority above 5400, or run nft delete rule inet fw prerouting handle 3, or exclude the prefixes of other datacenters from it",
		},
		"a table that drops, for some packets": {
			"prerouting", "[" + port + mark7 + "]",
			[]routes.ForeignRule{{Priority: 50, Table: 99, Selector: fwmark}},
			"10.3.0.1 from 10.1.0.2 iif cni0 mark 0x7",
			routes.Lookup{},
			`some packets to datacenter west are dropped: the cause is rule "pref 50 fwmark 0x7/0xff lookup 99", which precedes Meshway's rule 5400 and points to route "unreachable 0.0.0.0/0" of table 99; ` +
				"the packets get the mark 0x7 from " + by + "prerouting",
			"run ip rule del pref 50 fwmark 0x7/0xff lookup 99, or add the rule again with a priority above 5400, or run ip route del unreachable 0.0.0.0/0 table 99, " +
				"or run nft delete rule inet fw prerouting handle 3, or exclude the prefixes of other datacenters from it",
		},
		"a rule that diverts packets of this host": {
			"output", "[" + mark7 + "]",
			[]routes.ForeignRule{{Priority: 50, Table: 254, Selector: fwmark}},
			"10.3.0.1 mark 0x7",
			routes.Lookup{Table: 254, Device: "eth0"},
			`packets to datacenter west would leave on eth0 outside of the tunnels and are dropped: the cause is rule "pref 50 fwmark 0x7/0xff lookup main", which precedes Meshway's rule 5400; ` +
				"the packets get the mark 0x7 from " + by + "output",
			"run ip rule del pref 50 fwmark 0x7/0xff lookup main, or add the rule again with a priority above 5400, or run nft delete rule inet fw output handle 3, or exclude the prefixes of other datacenters from it",
		},
		"packets that arrive": {
			"prerouting", "[" + mark7 + "]",
			[]routes.ForeignRule{{Priority: 50, Drop: "prohibit", Selector: fwmark}},
			"10.1.0.2 from 10.3.0.1 iif mesh0 mark 0x7",
			routes.Lookup{},
			`packets from datacenter west to pods of this host are dropped: the cause is rule "pref 50 fwmark 0x7/0xff prohibit"; the packets get the mark 0x7 from ` + by + "prerouting",
			"run ip rule del pref 50 fwmark 0x7/0xff prohibit, or exclude the packets from it, or run nft delete rule inet fw prerouting handle 3, or exclude the prefixes of other datacenters from it",
		},
		"the bit of Meshway": {
			"prerouting", mark30, nil, "10.3.0.1 from 10.1.0.2 iif cni0 mark 0x30",
			routes.Lookup{Table: 254, Device: "eth0"},
			"packets to datacenter west would leave on eth0 outside of the tunnels and are dropped: the cause is " + by + "prerouting, which gives them the mark 0x30, and packets with routing.mark 0x20 do not use Meshway's routes",
			"run nft delete rule inet fw prerouting handle 3, or exclude the prefixes of other datacenters from it, or set routing.mark to a bit that no other program sets",
		},
		"a mark of no rule":                {"prerouting", "[" + mark7 + "]", nil, "10.3.0.1 from 10.1.0.2 iif cni0 mark 0x7", routes.Lookup{Table: 7117, Device: "mesh0", Nexthop: routes.GroupID(3, routes.IPv4)}, "", ""},
		"the bit of Meshway, that arrives": {"prerouting", mark30, nil, "10.1.0.2 from 10.3.0.1 iif mesh0 mark 0x30", routes.Lookup{Table: 254, Device: "cni0"}, "", ""},
		"a rule for another mark": {
			"prerouting", "[" + mark7 + "]",
			[]routes.ForeignRule{{Priority: 50, Table: 254, Selector: routes.Selector{Mark: 8, Mask: 0xff}}},
			"10.3.0.1 from 10.1.0.2 iif cni0 mark 0x7",
			routes.Lookup{Table: 254, Device: "eth0"},
			"", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := filters()
			f.Lanes = []string{"mesh0"}
			base := chain(t, c.hook, "accept", c.rule)
			base.Rules[0].Handle = 3
			if c.hook == "output" {
				base.Type = "route"
			}
			f.Others.Chains = []ruleset.Chain{base}
			for _, r := range c.rules {
				r.Family = routes.IPv4
				f.Observed.ForeignRules = append(f.Observed.ForeignRules, r)
			}
			f.Observed.Tables = map[int][]routes.HostRoute{99: {{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Drop: "unreachable"}}}
			var query interference.PathQuery
			for _, q := range f.MarkedQueries() {
				if q.String() == c.lookup {
					query = q
				}
			}
			require.True(t, query.Destination.IsValid(), f.MarkedQueries())
			problem, wrong := f.Problem(query, c.found)
			want := plan.Problem{}
			if c.message != "" {
				want = plan.Problem{Code: "traffic-diverted", Severity: plan.Error, Subject: "datacenter west", Message: c.message, Remedy: c.remedy}
			}
			assert.Equal(t, want, problem)
			assert.Equal(t, c.message != "", wrong)
		})
	}
}

// TestUnmarkedPacketsAreNotLookedUpAgain has rules that mark no packets of Meshway.
func TestUnmarkedPacketsAreNotLookedUpAgain(t *testing.T) {
	f := filters()
	f.Others.Chains = []ruleset.Chain{chain(t, "prerouting", "accept", `[{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "tailscale0"}}, {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 7}}]`)}
	assert.Empty(t, f.MarkedQueries())
}

// TestMarksThatAreNotKnownAreAWarningIfAPolicyRuleMayApply has a rule that distributes
// packets by random numbers.
func TestMarksThatAreNotKnownAreAWarningIfAPolicyRuleMayApply(t *testing.T) {
	f := filters()
	random := `{"numgen": {"mode": "inc", "mod": 2, "offset": 0}}`
	set := func(value string) {
		base := chain(t, "prerouting", "accept", `[{"mangle": {"key": {"meta": {"key": "mark"}}, "value": `+value+`}}]`)
		base.Rules[0].Handle = 3
		f.Others.Chains = []ruleset.Chain{base}
	}
	set(random)
	require.NotEmpty(t, f.UnknownMarks())
	assert.Empty(t, f.MarkedQueries(), "there is nothing to look up")
	problem := f.UnknownMarks()[0]
	assert.Equal(t, plan.Warning, problem.Severity)
	assert.Contains(t, problem.Message, `may get a mark from the rule "its rule" in chain inet fw prerouting; it is not known which, and with routing.mark 0x20 they do not use`)
	assert.Contains(t, problem.Remedy, "nft delete rule inet fw prerouting handle 3")

	f.Observed.ForeignRules = []routes.ForeignRule{{Family: routes.IPv4, Priority: 50, Table: 99, Selector: routes.Selector{Mark: 1, Mask: 0xff}}}
	assert.Contains(t, f.UnknownMarks()[0].Message, `rule "pref 50 fwmark 0x1/0xff lookup 99", which precedes Meshway's rule 5400`)
	f.Config.Routing.Mark = 0
	f.Observed.ForeignRules[0].Priority = 6000
	assert.Empty(t, f.UnknownMarks(), "no rule is for a mark")
}

// TestMarksOfConnectionsThatChangeTheRouteAreAWarning restores the mark that another rule sets.
func TestMarksOfConnectionsThatChangeTheRouteAreAWarning(t *testing.T) {
	f := filters()
	f.Observed.ForeignRules = []routes.ForeignRule{{Family: routes.IPv4, Priority: 50, Table: 254, Selector: routes.Selector{Mark: 7, Mask: 0xff}}}
	f.Others.Chains = []ruleset.Chain{
		chain(t, "prerouting", "accept", `[{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"ct": {"key": "mark"}}}}]`),
		chain(t, "forward", "accept", `[{"mangle": {"key": {"ct": {"key": "mark"}}, "value": 7}}]`),
	}
	queries := f.MarkedQueries()
	require.NotEmpty(t, queries)
	problem, wrong := f.Problem(queries[0], routes.Lookup{Table: 254, Device: "eth0"})
	require.True(t, wrong)
	assert.Equal(t, plan.Warning, problem.Severity)
	assert.Contains(t, problem.Message, `some packets to datacenter west would leave on eth0 outside of the tunnels and are dropped: the cause is rule "pref 50 fwmark 0x7/0xff lookup main"`)
	assert.Contains(t, problem.Message, `the packets get the mark 0x7 from the rule "its rule" in chain inet fw prerouting; only connections that have the mark`)
	_, wrong = f.Problem(queries[0], routes.Lookup{Table: 7117, Device: "mesh0", Nexthop: routes.GroupID(3, routes.IPv4)})
	assert.False(t, wrong)
}

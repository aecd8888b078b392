package ruleset_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/routes/ruleset"
	"github.com/meshway/meshway/routes/ruleset/rulesettest"
)

// marksOf returns the rules that mark a packet of rulesettest, of a chain with rules as nft
// prints them as JSON, to whose end there is a chain sub.
func marksOf(t *testing.T, packet string, base ruleset.Chain, rules ...string) []ruleset.Marking {
	t.Helper()
	base.Table, base.Name = ruleset.Table{Family: "inet", Name: "t"}, "base"
	sub := ruleset.Chain{Table: base.Table, Name: "sub", Rules: rulesOf(t, `[{"mangle": {"key": {"meta": {"key": "mark"}}, "value": 9}}, {"accept": null}]`)}
	base.Rules = rulesOf(t, rules...)
	return ruleset.Ruleset{Chains: []ruleset.Chain{base, sub}}.Markings(rulesettest.Packets()[packet])
}

func rulesOf(t *testing.T, texts ...string) []ruleset.Rule {
	t.Helper()
	var out []ruleset.Rule
	for i, text := range texts {
		r := ruleset.Rule{Handle: i + 1}
		require.NoError(t, json.Unmarshal([]byte(text), &r.Statements))
		out = append(out, r)
	}
	return out
}

func TestRulesThatMarkPacketsBeforeTheirRouteIsLookedUpAreFound(t *testing.T) {
	const (
		set7    = `[{"mangle": {"key": {"meta": {"key": "mark"}}, "value": 7}}]`
		or20    = `[{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"|": [{"meta": {"key": "mark"}}, 32]}}}]`
		xmark   = `[{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"^": [{"&": [{"meta": {"key": "mark"}}, 4294967040]}, 5]}}}]`
		restore = `[{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"ct": {"key": "mark"}}}}]`
		toWest  = `[{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": {"prefix": {"addr": "10.12.0.0", "len": 16}}}}, {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 7}}]`
		toOther = `[{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": {"prefix": {"addr": "10.13.0.0", "len": 16}}}}, {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 7}}]`
		port    = `[{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 443}}, {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 8}}]`
		unknown = `[{"xt": {"type": "match", "name": "socket"}}, {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 8}}]`
		toMap   = `[{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"map": {"key": {"payload": {"protocol": "ip", "field": "daddr"}}, "data": {"set": [[{"prefix": {"addr": "10.13.0.0", "len": 16}}, 6], [{"prefix": {"addr": "10.12.0.0", "len": 16}}, 7]]}}}}}]`
		portMap = `[{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"map": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": {"set": [[443, 8]]}}}}}]`
		named   = `[{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"map": {"key": {"payload": {"protocol": "ip", "field": "daddr"}}, "data": "@marks"}}}}]`
		vmap    = `[{"vmap": {"key": {"payload": {"protocol": "ip", "field": "daddr"}}, "data": {"set": [[{"prefix": {"addr": "10.12.0.0", "len": 16}}, {"jump": {"target": "sub"}}]]}}}]`
		vaccept = `[{"vmap": {"key": {"payload": {"protocol": "ip", "field": "daddr"}}, "data": {"set": [[{"prefix": {"addr": "10.12.0.0", "len": 16}}, {"accept": null}]]}}}]`
		setCt   = `[{"mangle": {"key": {"ct": {"key": "mark"}}, "value": 11}}]`
		save    = `[{"mangle": {"key": {"ct": {"key": "mark"}}, "value": {"meta": {"key": "mark"}}}}]`
		ctEth1  = `[{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "eth1"}}, {"mangle": {"key": {"ct": {"key": "mark"}}, "value": 12}}]`
		random  = `[{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"numgen": {"mode": "inc", "mod": 2}}}}]`
		marked  = `[{"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 7}}, {"accept": null}]`
		jump    = `[{"jump": {"target": "sub"}}]`
		accept  = `[{"accept": null}]`
	)
	pre := ruleset.Chain{Type: "filter", Hook: "prerouting", Priority: -150}
	for name, c := range map[string]struct {
		packet string
		base   ruleset.Chain
		rules  []string
		marks  []uint32
		some   bool
	}{
		"all packets":                          {"from pods", pre, []string{set7}, []uint32{7}, false},
		"before the chain of Meshway":          {"from pods", ruleset.Chain{Type: "filter", Hook: "prerouting", Priority: -400}, []string{set7}, []uint32{7}, false},
		"bits":                                 {"from pods", pre, []string{set7, or20}, []uint32{0x27}, false},
		"bits as iptables sets them":           {"from pods", pre, []string{xmark}, []uint32{5}, false},
		"one datacenter":                       {"from pods", pre, []string{toWest}, []uint32{7}, false},
		"others":                               {"from pods", pre, []string{toOther}, nil, false},
		"some packets":                         {"from pods", pre, []string{port}, []uint32{8}, true},
		"a condition that is not understood":   {"from pods", pre, []string{unknown}, nil, false},
		"what a connection had":                {"from pods", pre, []string{restore}, nil, false},
		"what another rule gives a connection": {"from pods", pre, []string{restore, setCt}, []uint32{11}, true},
		"what another rule gives connections of a device": {"from pods", pre, []string{restore, ctEth1}, nil, false},
		"what a connection saved":                         {"from pods", pre, []string{restore, port, save}, []uint32{8, 9, 8}, true},
		"a map":                                           {"from pods", pre, []string{toMap}, []uint32{7}, false},
		"a map of ports":                                  {"from pods", pre, []string{portMap}, []uint32{8}, true},
		"a map that is not read":                          {"from pods", pre, []string{named}, []uint32{0}, true},
		"a map of verdicts":                               {"from pods", pre, []string{vmap, or20}, []uint32{9}, false},
		"after a map of verdicts":                         {"from pods", pre, []string{vaccept, set7}, nil, false},
		"random numbers":                                  {"from pods", pre, []string{random}, []uint32{0}, true},
		"in another chain":                                {"from pods", pre, []string{jump, set7}, []uint32{9}, false},
		"after the end":                                   {"from pods", pre, []string{accept, set7}, nil, false},
		"after the end for marked packets":                {"from pods", pre, []string{set7, marked, or20}, []uint32{7}, false},
		"after the route":                                 {"from pods", ruleset.Chain{Type: "filter", Hook: "forward"}, []string{set7}, nil, false},
		"own packets":                                     {"WireGuard out", ruleset.Chain{Type: "route", Hook: "output"}, []string{set7}, []uint32{7}, false},
		"own packets, without a new route":                {"WireGuard out", ruleset.Chain{Type: "filter", Hook: "output"}, []string{set7}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			var marks []uint32
			for _, m := range marksOf(t, c.packet, c.base, c.rules...) {
				marks = append(marks, m.Mark)
				assert.Equal(t, c.some, m.Some)
				assert.Equal(t, strings.Contains(name, "connection") && m.Handle == 1, m.Doubtful)
				assert.Equal(t, m.Mark == 0, m.Unknown != 0, "0 is not known")
				assert.Equal(t, "inet t base", m.Chain)
			}
			assert.Equal(t, c.marks, marks)
		})
	}
}

// TestAQueueWithoutAProgramDropsPackets has a rule that queues them.
func TestAQueueWithoutAProgramDropsPackets(t *testing.T) {
	for rule, want := range map[string]struct {
		queues []uint16
		drops  int
	}{
		`[{"queue": {"num": 7}}]`:                                            {nil, 1},
		`[{"queue": null}]`:                                                  {[]uint16{1}, 1},
		`[{"queue": {"num": 7, "flags": "bypass"}}]`:                         {nil, 0},
		`[{"queue": {"num": 7, "flags": ["bypass", "fanout"]}}]`:             {nil, 0},
		`[{"queue": {"num": {"range": [3, 8]}}}]`:                            {[]uint16{9}, 1},
		`[{"queue": {"num": {"range": [3, 9]}}}]`:                            {[]uint16{9}, 0},
		`[{"queue": {"num": {"numgen": {"mode": "inc", "mod": 2}}}}]`:        {nil, 0},
		`[{"queue": {"num": 0, "flags": "fanout"}}]`:                         {[]uint16{0}, 0},
		`[{"xt": {"type": "target", "name": "NFQUEUE"}}]`:                    {nil, 1},
		`[{"xt": {"type": "target", "name": "NFQUEUE"}}, {"counter": null}]`: {[]uint16{4}, 0},
	} {
		r := ruleset.Ruleset{Queues: want.queues, Chains: []ruleset.Chain{{
			Table: ruleset.Table{Family: "inet", Name: "t"}, Name: "c", Type: "filter", Hook: "forward", Policy: "accept", Rules: rulesOf(t, rule),
		}}}
		assert.Len(t, r.Drops(rulesettest.Packets()["from pods"]), want.drops, rule)
		assert.Equal(t, rule[3] == 'q', r.Volatile(), rule)
	}
}

func TestPrefixesAndDevicesAreOfOneClassIfNoRuleDistinguishesThem(t *testing.T) {
	r := ruleset.Ruleset{
		Chains: []ruleset.Chain{{Devices: []string{"eth*"}, Rules: rulesOf(t,
			`[{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": {"set": [{"prefix": {"addr": "10.12.0.0", "len": 15}}, {"range": ["10.20.0.5", "10.20.0.9"]}]}}}]`,
			`[{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "pods2"}}]`)}},
		Sets: map[string][]any{"inet t s": {"fd00:12::1"}},
	}
	c := r.Classes()
	of := func(prefix string) string { return c.OfPrefix(netip.MustParsePrefix(prefix)) }
	assert.Equal(t, of("10.12.0.0/16"), of("10.13.0.0/16"))
	assert.Equal(t, of("10.14.0.0/16"), of("10.15.0.0/16"))
	assert.Equal(t, of("fd00:13::/32"), of("fd00:14::/32"))
	for _, other := range []string{"10.14.0.0/16", "10.20.0.0/16", "10.20.0.6/32", "10.12.0.0/14"} {
		assert.NotEqual(t, of("10.12.0.0/16"), of(other), other)
	}
	assert.NotEqual(t, of("10.20.0.0/16"), of("10.20.0.6/32"))
	assert.NotEqual(t, of("fd00:12::/32"), of("fd00:13::/32"))
	assert.Equal(t, c.OfDevice("veth1"), c.OfDevice("veth2"))
	assert.Equal(t, c.OfDevice("eth1"), c.OfDevice("eth2"))
	assert.NotEqual(t, c.OfDevice("eth1"), c.OfDevice("veth1"))
	assert.NotEqual(t, c.OfDevice("pods2"), c.OfDevice("veth1"))
}

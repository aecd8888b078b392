package interference_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes/ruleset"
	"github.com/meshway/meshway/routes/ruleset/rulesettest"
)

// chain returns a base chain with one rule, given as nft prints it as JSON.
func chain(t *testing.T, hook, policy, rule string) ruleset.Chain {
	t.Helper()
	c := ruleset.Chain{Table: ruleset.Table{Family: "inet", Name: "fw"}, Name: hook, Type: "filter", Hook: hook, Policy: policy}
	if rule != "" {
		r := ruleset.Rule{Text: "its rule"}
		require.NoError(t, json.Unmarshal([]byte(rule), &r.Statements))
		c.Rules = []ruleset.Rule{r}
	}
	return c
}

// match returns a rule that drops what has a value in a field.
func match(left, right string) string {
	return fmt.Sprintf(`[{"match": {"op": "==", "left": %s, "right": %s}}, {"drop": null}]`, left, right)
}

func prefixOf(a string, bits int) string {
	return fmt.Sprintf(`{"prefix": {"addr": %q, "len": %d}}`, a, bits)
}

const (
	destination = `{"payload": {"protocol": "ip", "field": "daddr"}}`
	source      = `{"payload": {"protocol": "ip", "field": "saddr"}}`
)

// TestEveryPrefixAndLinkOfPodsIsCompared has rules for the second prefix of a datacenter,
// the second device to pods, and the second lane.
func TestEveryPrefixAndLinkOfPodsIsCompared(t *testing.T) {
	const (
		fromPods = `drops packets of pods to other datacenters`
		toPods   = `drops packets of other datacenters to pods`
	)
	for name, c := range map[string]struct {
		hook, rule string
		message    string
	}{
		"services":            {"forward", match(destination, prefixOf("10.22.0.0", 16)), fromPods},
		"answers of services": {"forward", match(source, prefixOf("10.22.0.0", 16)), toPods},
		"the second link":     {"forward", match(`{"meta": {"key": "iifname"}}`, `"pods2"`), fromPods},
		"its network":         {"forward", match(destination, prefixOf("10.1.9.0", 24)), toPods},
		"the second lane":     {"forward", match(`{"meta": {"key": "iifname"}}`, `"mesh1"`), toPods},
		"a part of services":  {"forward", match(destination, prefixOf("10.22.4.0", 24)), `may drop some packets of pods to other datacenters`},
		"ICMP":                {"forward", match(`{"meta": {"key": "l4proto"}}`, `"icmp"`), "drops ICMP packets of pods to other datacenters and ICMP packets of other datacenters to pods"},
		"UDP and ICMP": {
			"forward", match(`{"meta": {"key": "l4proto"}}`, `{"set": ["udp", 1]}`),
			"drops UDP and ICMP packets of pods to other datacenters and UDP and ICMP packets of other datacenters to pods",
		},
		"port of UDP": {
			"forward", match(`{"payload": {"protocol": "udp", "field": "dport"}}`, `53`),
			"may drop some packets of pods to other datacenters and packets of other datacenters to pods",
		},
		"this host": {"output", match(destination, prefixOf("10.3.0.0", 16)), "drops packets of this host to other datacenters"},
	} {
		t.Run(name, func(t *testing.T) {
			f := filters()
			f.Datacenters[0].Prefixes = append(f.Datacenters[0].Prefixes, catalog.Prefix{CIDR: netip.MustParsePrefix("10.22.0.0/16"), Kind: catalog.ServicePrefix})
			f.Firewall.Lanes[0].Sources = append(f.Firewall.Lanes[0].Sources, netip.MustParsePrefix("10.22.0.0/16"))
			second := f.Firewall.Lanes[0]
			second.Device = "mesh1"
			f.Firewall.Lanes = append(f.Firewall.Lanes, second)
			f.Host.Links = append(f.Host.Links, plan.Link{Device: "pods2", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.1.9.0/24")}})
			f.Others.Chains = []ruleset.Chain{chain(t, c.hook, "accept", c.rule)}
			var messages []string
			for _, p := range f.Problems() {
				messages = append(messages, p.Message)
			}
			assert.Equal(t, []string{fmt.Sprintf(`chain %s of table "inet fw" %s: the cause is the rule "its rule"`, c.hook, c.message)}, messages)
		})
	}
}

// TestTheHostMayRestrictItsOwnPackets drops some of them.
func TestTheHostMayRestrictItsOwnPackets(t *testing.T) {
	f := filters()
	f.Others.Chains = []ruleset.Chain{chain(t, "output", "accept", match(`{"payload": {"protocol": "tcp", "field": "dport"}}`, `25`))}
	assert.Empty(t, f.Problems())
}

// TestPacketsThatNoRuleDistinguishesAreComparedOnce has a hundred datacenters with many
// prefixes, and a device for each pod.
func TestPacketsThatNoRuleDistinguishesAreComparedOnce(t *testing.T) {
	f := filters()
	recorded, err := rulesettest.Files.ReadFile("testdata/ufw.rules.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(recorded, &f.Others))
	want := f.Problems()
	f.Datacenters, f.Firewall.Lanes[0].Sources = nil, nil
	for i := range 100 {
		dc := catalog.Datacenter{Name: catalog.DatacenterName(fmt.Sprint("dc", i))}
		for j := range 16 {
			prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(100 + i), byte(j * 16), 0}), 20)
			dc.Prefixes = append(dc.Prefixes, catalog.Prefix{CIDR: prefix, Kind: catalog.PodPrefix})
			f.Firewall.Lanes[0].Sources = append(f.Firewall.Lanes[0].Sources, prefix)
		}
		f.Datacenters = append(f.Datacenters, dc)
	}
	for i := range 100 {
		f.Host.Links = append(f.Host.Links, plan.Link{Device: fmt.Sprint("veth", i), Prefixes: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, 1, byte(i)}), 32)}})
	}
	assert.Equal(t, want, f.Problems())
	assert.Less(t, testing.AllocsPerRun(1, func() { f.Problems() }), 100_000.0)
}

package ruleset_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/routes/ruleset"
	"github.com/meshway/meshway/routes/ruleset/rulesettest"
)

func TestPacketsThatOtherProgramsCertainlyDropAreFound(t *testing.T) {
	for _, c := range rulesettest.Cases() {
		t.Run(c.File, func(t *testing.T) {
			recorded, err := rulesettest.Files.ReadFile("testdata/" + c.File + ".json")
			require.NoError(t, err)
			var r ruleset.Ruleset
			require.NoError(t, json.Unmarshal(recorded, &r))
			for name, packet := range c.Packets() {
				var drops []string
				for _, d := range r.Drops(packet) {
					drops = append(drops, rulesettest.Text(d))
				}
				assert.Equal(t, c.Drops[name], drops, name)
			}
		})
	}
}

func TestChainsThatLeadToEachOtherEnd(t *testing.T) {
	jump := func(to string) []ruleset.Rule {
		return []ruleset.Rule{{Statements: []ruleset.Statement{{"jump": map[string]any{"target": to}}}}}
	}
	table := ruleset.Table{Family: "inet", Name: "t"}
	r := ruleset.Ruleset{Chains: []ruleset.Chain{
		{Table: table, Name: "base", Type: "filter", Hook: "input", Policy: "drop", Rules: jump("a")},
		{Table: table, Name: "a", Rules: jump("b")},
		{Table: table, Name: "b", Rules: jump("a")},
	}}
	assert.Empty(t, r.Drops(rulesettest.Packets()["liveness in"]), "the kernel refuses such chains: what they do is not known")
}

// TestAWalkIsLinear has 2^40 paths through its chains.
func TestAWalkIsLinear(t *testing.T) {
	table := ruleset.Table{Family: "inet", Name: "t"}
	r := ruleset.Ruleset{Chains: []ruleset.Chain{{
		Table: table, Name: "0", Type: "filter", Hook: "input", Policy: "drop",
	}}}
	for i := range 40 {
		next := ruleset.Statement{"jump": map[string]any{"target": fmt.Sprint(i + 1)}}
		r.Chains[i].Rules = []ruleset.Rule{{Statements: []ruleset.Statement{next}}, {Statements: []ruleset.Statement{next}}}
		r.Chains = append(r.Chains, ruleset.Chain{Table: table, Name: fmt.Sprint(i + 1)})
	}
	assert.Len(t, r.Drops(rulesettest.Packets()["liveness in"]), 1)
}

package ruleset_test

import (
	"testing"

	"github.com/meshway/meshway/routes/ruleset"
	"github.com/meshway/meshway/routes/ruleset/rulesettest"
	"github.com/stretchr/testify/assert"
)

// FuzzParse parses listings that contain the rules of other programs of the host.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"nftables":[{"chain":{"family":"ip","table":"t","name":"c","hook":"forward","policy":"drop"}},` +
		`{"rule":{"chain":"c","handle":1,"expr":[{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"a*"}},{"drop":null}]}}]}`))
	f.Add([]byte(`{"nftables":[{"table":{"family":"ip","name":"t","flags":"dormant"}},{"rule":{"expr":null}},null]}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, listing []byte) {
		chains, chainsErr := ruleset.ParseChains(listing)
		tables, tablesErr := ruleset.ParseFlagged(listing)
		assert.Equal(t, chainsErr == nil, tablesErr == nil)
		if chainsErr != nil {
			assert.Empty(t, chains)
			assert.Empty(t, tables)
		}
	})
}

// FuzzParseLegacy parses listings that contain the rules of other programs of the host.
func FuzzParseLegacy(f *testing.F) {
	f.Add(":FORWARD DROP [0:0]\n:x - [0:0]\n-A FORWARD ! -i mesh+ -p udp -m multiport --dports 1,2:5 -m comment --comment \"a \\\"b\" -j x")
	f.Add(":x -\n-A x !\n-A x -j\n-A x -g\n-A x \"\n-A x --dport : -s 1 -d ::/0 --comment")
	table := ruleset.Table{Family: "ip", Name: "filter", Legacy: true}
	f.Fuzz(func(t *testing.T, listing string) {
		r := ruleset.Ruleset{Chains: ruleset.ParseLegacy(table, listing)}
		for _, p := range rulesettest.Packets() {
			for _, d := range r.Drops(p) {
				assert.NotEmpty(t, d.By)
			}
		}
	})
}

package ruleset_test

import (
	"testing"

	"github.com/meshway/meshway/routes/ruleset"
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

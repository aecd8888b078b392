//go:build linux

package nft

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/knftables"

	"github.com/meshway/meshway/routes"
)

// TestCheckedTablesHaveEachChainAndSet compares with the constants of ruleset.go.
func TestCheckedTablesHaveEachChainAndSet(t *testing.T) {
	chains, rules := map[string]bool{}, 0
	for _, fw := range everyKind() {
		fake := knftables.NewFake(knftables.InetFamily, routes.FirewallTable)
		tx := fake.NewTransaction()
		for _, chain := range Render(tx, fw, nil).Chains {
			chains[chain] = true
		}
		require.NoError(t, fake.Run(t.Context(), tx))
		rules += tx.NumOperations()
	}
	assert.Equal(t, []string{
		chainAntispoof, chainClamp, chainConfine, chainDetour, chainGuard, chainHandover, chainNoSNAT, chainTransit, chainUnderlay,
	}, slices.Sorted(maps.Keys(chains)))
	assert.Greater(t, rules, 60)
}

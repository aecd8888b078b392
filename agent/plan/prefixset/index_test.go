package prefixset_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/plan/prefixset"
)

func TestIndexFindsTheFirstEntryThatOverlaps(t *testing.T) {
	prefixes, addresses := all()
	prefixes = append(prefixes, netip.MustParsePrefix("fd77::/48"), netip.MustParsePrefix("fd77::/64"))
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		added := slices.Clone(prefixes)
		random.Shuffle(len(added), func(i, j int) { added[i], added[j] = added[j], added[i] })
		added = added[:random.IntN(len(added))]
		x := prefixset.NewIndex(prefixes)
		for i, p := range added {
			assert.Equal(t, i, x.Add(p))
		}
		for _, p := range prefixes {
			want := slices.IndexFunc(added, p.Overlaps)
			got, ok := x.First(p)
			assert.Equal(t, want >= 0, ok, "%v in %v", p, added)
			if ok {
				assert.Equal(t, want, got, "%v in %v", p, added)
			}
		}
		aggregated := prefixset.Aggregate(added)
		for _, a := range addresses {
			assert.Equal(t, has(aggregated, a), prefixset.CoveredBy(aggregated, prefixset.Host(a)), "%v in %v", a, aggregated)
		}
	}
}

package history_test

import (
	"flag"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/history"
)

var (
	seeds = flag.Uint64("seeds", 12, "how many histories in memory")
	first = flag.Uint64("first", 0, "seed of the first of them")
)

func TestHistoriesAreLinearizableUnderFaults(t *testing.T) {
	for seed := *first; seed < *first+*seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			var h history.History
			defer func() {
				if t.Failed() {
					t.Log("what was recorded until then: ", h.Check(20*time.Second))
				}
			}()
			synctest.Test(t, func(t *testing.T) { history.RunSeed(t, seed, &h) })
			require.Greater(t, h.Operations(), 25, "too few operations had a result")
			require.NoError(t, h.Check(20*time.Second), "run it again: go test ./e2e/history -run %s -first %d -seeds 1", t.Name(), seed)
		})
	}
}

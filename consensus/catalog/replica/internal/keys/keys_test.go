package keys_test

import (
	"bytes"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/consensus/catalog/replica/internal/keys"
)

func TestKeysSortByTheirParts(t *testing.T) {
	sorted := [][]byte{keys.Of("a"), keys.Of("a", "b"), keys.Of("a", "c"), keys.Of("a-b", "a"), keys.Of("b")}
	assert.True(t, slices.IsSortedFunc(sorted, bytes.Compare))
}

func TestKeysSortByTime(t *testing.T) {
	now := time.Unix(1_700_000_000, 5)
	sorted := [][]byte{
		keys.Time(time.Time{}), keys.Time(time.Unix(-1, 0)), keys.Time(time.Unix(0, 0)), keys.Time(now),
		keys.Time(now.Add(1)), keys.Time(now.Add(time.Second)), keys.Time(time.Unix(math.MaxInt32*4, 0)),
	}
	assert.True(t, slices.IsSortedFunc(sorted, bytes.Compare))
}

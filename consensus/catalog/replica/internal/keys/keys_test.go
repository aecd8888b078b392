package keys_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/consensus/catalog/replica/internal/keys"
)

func TestKeysSortByTimeAndThenByTheirParts(t *testing.T) {
	now := time.Unix(1_700_000_000, 5)
	sorted := []keys.Key{
		keys.At(time.Time{}, "b"), keys.At(time.Unix(-1, 0)), keys.Of("a"), keys.Of("a", "b"), keys.Of("a", "c"),
		keys.Of("a-b", "a"), keys.Of("b"), keys.At(now, "a"), keys.At(now, "b"), keys.At(now.Add(1), "a"), keys.At(now.Add(time.Second)),
	}
	for i, a := range sorted {
		for j, b := range sorted {
			c := a.Compare(&b)
			assert.Equal(t, i < j, c < 0)
			assert.Equal(t, i == j, c == 0)
		}
	}
}

func TestKeysBeginWithTheirParts(t *testing.T) {
	k := keys.Of("a", "b")
	assert.True(t, k.HasParts(nil))
	assert.True(t, k.HasParts([]string{"a"}))
	assert.True(t, k.HasParts([]string{"a", "b"}))
	assert.False(t, k.HasParts([]string{"a", "c"}))
	assert.False(t, k.HasParts([]string{"b"}))
	k = keys.Of("a-b")
	assert.False(t, k.HasParts([]string{"a"}))
}

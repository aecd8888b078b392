package history

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhatBreaksAPromiseIsFound(t *testing.T) {
	put := func(value string) operation { return operation{"web", Put, value} }
	read := operation{key: "web"}
	for name, c := range map[string]struct {
		record func(h *History)
		want   string // empty: nothing is wrong
	}{
		"a read after a write": {func(h *History) {
			h.record(0, put("a"), 1, "", 2)
			h.record(1, read, 3, "a", 4)
		}, ""},
		"a read of the past": {func(h *History) {
			h.record(0, put("a"), 1, "", 2)
			h.record(1, read, 3, "", 4)
		}, "no order of the operations"},
		"a write of unknown outcome that took effect late": {func(h *History) {
			h.record(0, put("a"), 1, "", never)
			h.record(1, read, 2, "", 3)
			h.record(1, read, 4, "a", 5)
		}, ""},
		"a write of unknown outcome that took effect before its call": {func(h *History) {
			h.record(1, read, 1, "a", 2)
			h.record(0, put("a"), 3, "", never)
		}, "no order of the operations"},
		"a write of unknown outcome that was undone": {func(h *History) {
			h.record(0, put("a"), 1, "", never)
			h.record(1, read, 2, "a", 3)
			h.record(1, read, 4, "", 5)
		}, "no order of the operations"},
		"a value without a write": {func(h *History) {
			h.record(1, read, 1, "a", 2)
		}, "no order of the operations"},
		"a write that took effect twice": {func(h *History) {
			h.wrote(put("a"), 5)
			h.saw(Change{7, "web", "a"})
		}, `the write of "a" took effect at index 5 and at 7`},
		"watches that differ": {func(h *History) {
			h.saw(Change{7, "web", "a"})
			h.saw(Change{7, "web", "b"})
		}, `web at index 7 is "a" to one watch and "b" to another`},
		"a stale read of another index": {func(h *History) {
			h.saw(Change{7, "web", "a"})
			h.saw(Change{9, "web", "b"})
			h.read(Change{9, "web", "a"})
		}, `web is "a" at index 9, but index 9 wrote "b"`},
		"a stale read of its index": {func(h *History) {
			h.saw(Change{7, "web", "a"})
			h.saw(Change{9, "web", "b"})
			h.read(Change{8, "web", "a"})
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var h History
			c.record(&h)
			err := h.Check(time.Minute)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, c.want)
		})
	}
}

func TestOnlyAWriteThatFailedMayBeUndone(t *testing.T) {
	for outcome, undone := range map[Outcome]bool{Failed: true, Unknown: false} {
		var h History
		keys := &Keys{}
		keys.Add("web")
		c := &Client{History: &h, Keys: keys, Own: []string{"web"}, Repairs: true}
		call := h.now()
		for _, value := range []string{"a", ""} { // read by others before the writer has its answer
			h.record(1, operation{key: "web"}, h.now(), value, h.now())
		}
		c.wrote(operation{"web", Put, "a"}, call, 0, outcome)
		assert.Equal(t, undone, h.Check(time.Minute) == nil, outcome)
		assert.Equal(t, undone, keys.hasEnded("web"), "later reads have no meaning")
		assert.NotContains(t, c.Own, "web", "it writes another service")
	}
}

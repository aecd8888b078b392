package suggest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/meshway/meshway/agent/suggest"
	"github.com/stretchr/testify/assert"
)

func TestNearestNameIsFoundUnlessNoneIsNear(t *testing.T) {
	known := []string{"datacenter", "dataDir", "log", "metrics"}
	for word, want := range map[string]string{
		"datacentre": "datacenter", "data-dir": "dataDir", "metric": "metrics", "lgo": "log", "LOG": "log",
		"helm": "", "x": "", "": "",
	} {
		got, ok := suggest.Nearest(word, known)
		assert.Equal(t, want != "", ok, word)
		if ok {
			assert.Equal(t, want, got)
		}
	}
}

func TestSimilarNamesAreFoundInTheirOrder(t *testing.T) {
	names := []string{"east", "north", "west", "west-2"}
	for word, want := range map[string][]string{
		"wst": {"west"}, "wesst": {"west"}, "norht": {"north"}, "nort": {"north"}, "nrhot": nil, "WEST": nil,
		"we": {"west", "west-2"}, "west-22": {"west", "west-2"}, "oslo": nil, "": nil,
	} {
		assert.Equal(t, want, suggest.Similar(word, names), word)
	}
}

func TestLongWordIsComparedQuickly(t *testing.T) {
	long := strings.Repeat("ab", 31)
	began := time.Now()
	suggest.Similar(strings.Repeat("ba", 30000), []string{long, long + "c"})
	assert.Less(t, time.Since(began), time.Second)
}

package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestAWrongNameFindsTheDatacentersThatWereMeant(t *testing.T) {
	names := []string{"east", "north", "west", "west-2"}
	for name, want := range map[string][]string{
		"wst": {"west"}, "wesst": {"west"}, "norht": nil, "nort": {"north"}, "WEST": nil,
		"we": {"west", "west-2"}, "west-22": {"west", "west-2"}, "oslo": nil, "": nil,
	} {
		assert.Equal(t, want, nearest(name, names), name)
	}
}

func TestALongNameIsComparedInNoTime(t *testing.T) {
	long := strings.Repeat("ab", 31)
	began := time.Now()
	nearest(strings.Repeat("ba", 30000), []string{long, long + "c"})
	assert.Less(t, time.Since(began), time.Second)
}

package agent

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
)

func TestOfDrainsAtATimeTheFirstRecordHolds(t *testing.T) {
	own := catalog.Gateway{Datacenter: "east", Name: "b", Draining: true, ModifiedIndex: 7}
	for name, c := range map[string]struct {
		other catalog.Gateway
		code  string // of the refusal; empty: none
	}{
		"it is in use":                   {catalog.Gateway{Datacenter: "east", Name: "a", ModifiedIndex: 5}, ""},
		"it was sooner":                  {catalog.Gateway{Datacenter: "east", Name: "c", Draining: true, ModifiedIndex: 6}, "siblings-drained"},
		"it is later":                    {catalog.Gateway{Datacenter: "east", Name: "a", Draining: true, ModifiedIndex: 8}, ""},
		"in one entry, of a lesser id":   {catalog.Gateway{Datacenter: "east", Name: "a", Draining: true, ModifiedIndex: 7}, "siblings-drained"},
		"in one entry, of a greater id":  {catalog.Gateway{Datacenter: "east", Name: "c", Draining: true, ModifiedIndex: 7}, ""},
		"it is of another datacenter":    {catalog.Gateway{Datacenter: "west", Name: "a", ModifiedIndex: 5}, "last-gateway"},
		"it was drained, own is to come": {catalog.Gateway{Datacenter: "east", Name: "c", Draining: true, ModifiedIndex: 9}, "siblings-drained"},
	} {
		own := own
		if name == "it was drained, own is to come" {
			own = unwritten(own)
		}
		err := mayDrain([]catalog.Gateway{own, c.other}, own)
		if c.code == "" {
			assert.NoError(t, err, name)
			continue
		}
		var refusal *catalog.Refusal
		require.ErrorAs(t, err, &refusal, name)
		assert.Equal(t, c.code, refusal.Code, name)
	}
}

package membership

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
)

func TestTheEarlierOfTwoDrainRecordsIsKept(t *testing.T) {
	own := catalog.Gateway{Datacenter: "east", Name: "b", Draining: true, ModifiedIndex: 7}
	for name, c := range map[string]struct {
		other     catalog.Gateway
		unwritten bool   // the drain of own is not recorded yet
		code      string // of the refusal; empty: none
	}{
		"the other gateway is in use":                     {other: catalog.Gateway{Datacenter: "east", Name: "a", ModifiedIndex: 5}},
		"the other drain is earlier":                      {other: catalog.Gateway{Datacenter: "east", Name: "c", Draining: true, ModifiedIndex: 6}, code: "siblings-drained"},
		"the other drain is later":                        {other: catalog.Gateway{Datacenter: "east", Name: "a", Draining: true, ModifiedIndex: 8}},
		"one entry, the other gateway has the lesser id":  {other: catalog.Gateway{Datacenter: "east", Name: "a", Draining: true, ModifiedIndex: 7}, code: "siblings-drained"},
		"one entry, the other gateway has the greater id": {other: catalog.Gateway{Datacenter: "east", Name: "c", Draining: true, ModifiedIndex: 7}},
		"the other gateway is of another datacenter":      {other: catalog.Gateway{Datacenter: "west", Name: "a", ModifiedIndex: 5}, code: "last-gateway"},
		"the own drain is not recorded yet":               {other: catalog.Gateway{Datacenter: "east", Name: "c", Draining: true, ModifiedIndex: 9}, unwritten: true, code: "siblings-drained"},
	} {
		t.Run(name, func(t *testing.T) {
			own := own
			if c.unwritten {
				own = unwritten(own)
			}
			err := mayDrain([]catalog.Gateway{own, c.other}, own)
			if c.code == "" {
				require.NoError(t, err)
				return
			}
			var refusal *catalog.Refusal
			require.ErrorAs(t, err, &refusal)
			assert.Equal(t, c.code, refusal.Code)
		})
	}
}

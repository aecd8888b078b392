package agreement_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/agreement"
)

func TestRefusalOfALevelNamesTheGatewaysThatHoldItBack(t *testing.T) {
	assert.Nil(t, agreement.HoldBack(3, nil))
	r := agreement.HoldBack(3, []catalog.GatewayID{"west/b", "north/a"})
	assert.Equal(t, "the command needs feature level 3, which 2 gateways do not support: west/b, north/a", r.Message)
	many := agreement.HoldBack(3, make([]catalog.GatewayID, 100))
	assert.Contains(t, r.Remedy, "meshctl datacenter remove", "one that stays behind does not hold back the others without end")
	assert.Less(t, len(many.Message), 150)
}

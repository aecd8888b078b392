package agreement_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/agreement"
)

func TestRefusalOfALevelNamesTheGatewaysThatHoldItBack(t *testing.T) {
	assert.Nil(t, agreement.HoldBack(3, "west", nil))
	r := agreement.HoldBack(3, "east", []catalog.GatewayID{"west/b", "north/a", "west/a"})
	assert.Equal(t, "the command needs feature level 3, which 3 gateways do not support: north/a, west/a, west/b", r.Message)
	many := agreement.HoldBack(3, "west", make([]catalog.GatewayID, 100))
	assert.Less(t, len(many.Message), 150)
}

// An operator can remove other datacenters, and upgrade the own one.
func TestRefusalOfALevelNamesTheDatacentersThatItsReaderCanRemove(t *testing.T) {
	const upgrade = "upgrade meshd on these gateways, then try again"
	of := func(by catalog.DatacenterName) string {
		return agreement.HoldBack(5, by, []catalog.GatewayID{"west/b", "north/a", "west/a"}).Remedy
	}
	assert.Contains(t, of("east"), "run meshctl datacenter remove NAME --force for each of north, west; of three or more datacenters, a second one has to run it too")
	assert.Contains(t, of("west"), "run meshctl datacenter remove north --force;", "none removes itself")
	assert.Equal(t, upgrade, agreement.HoldBack(5, "west", []catalog.GatewayID{"west/b"}).Remedy)
}

// A datacenter may have more gateways than the refusal names.
func TestRefusalOfALevelNamesAGatewayOfEachDatacenterFirst(t *testing.T) {
	var behind []catalog.GatewayID
	for i := range 20 {
		behind = append(behind, catalog.NewGatewayID("aaa", fmt.Sprint("gw", i)))
	}
	r := agreement.HoldBack(5, "east", append(behind, "west/a", "north/a"))
	assert.Contains(t, r.Message, "22 gateways do not support: aaa/gw0, north/a, west/a, aaa/gw1")
	assert.Contains(t, r.Remedy, "aaa, north, west")
}

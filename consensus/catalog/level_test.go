package catalog_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/consensus/catalog"
)

func TestFederationHasTheLevelOfItsOldestGateway(t *testing.T) {
	gateway := func(name string, level uint32) catalog.Gateway {
		return catalog.Gateway{Datacenter: "west", Name: name, FeatureLevel: level}
	}
	assert.Equal(t, catalog.Levels{}, catalog.LevelsOf(nil))
	assert.Equal(t, catalog.Levels{Common: 4, Newest: 4}, catalog.LevelsOf([]catalog.Gateway{gateway("a", 4), gateway("b", 4)}))
	assert.Equal(t, catalog.Levels{Common: 2, Newest: 4, Behind: []catalog.GatewayID{"west/b", "west/c"}},
		catalog.LevelsOf([]catalog.Gateway{gateway("c", 3), gateway("a", 4), gateway("b", 0)}),
		"a gateway that states no level is of a build of level 2")
	assert.Equal(t, uint32(2), catalog.LevelsOf([]catalog.Gateway{gateway("a", 4), gateway("b", 1)}).Common, "no build states level 1")
}

// A level that this build does not know is at least its own: a gateway that states one
// does not make the others too old.
func TestGatewayThatStatesAnUnknownLevelMakesNoOtherTooOld(t *testing.T) {
	var all []catalog.Gateway
	for name, level := range map[string]uint32{"a": catalog.Level, "b": catalog.Level + 1, "c": 1<<32 - 1} {
		all = append(all, catalog.Gateway{Datacenter: "west", Name: name, FeatureLevel: level})
	}
	assert.Equal(t, catalog.Levels{Common: catalog.Level, Newest: catalog.Level}, catalog.LevelsOf(all))
	all = append(all, catalog.Gateway{Datacenter: "north", Name: "a", FeatureLevel: catalog.Level - 1})
	assert.Equal(t, catalog.Levels{Common: catalog.Level - 1, Newest: catalog.Level, Behind: []catalog.GatewayID{"north/a"}}, catalog.LevelsOf(all))
}

package plan_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

func TestOrdinalsOfTheCatalogHaveGroupIDs(t *testing.T) {
	assert.Equal(t, routes.MaxOrdinal, catalog.MaxOrdinal)
}

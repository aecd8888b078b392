package catalog_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
)

func TestNamesAreDNSLabels(t *testing.T) {
	for _, name := range []string{"a", "0", "east", "eu-west-1", strings.Repeat("a", 63)} {
		assert.NoError(t, catalog.ValidateName(name))
	}
	for _, name := range []string{"", "-a", "a-", "a.b", "a_b", "East", "ä", "a b", "a\x00", strings.Repeat("a", 64)} {
		r, ok := errors.AsType[*catalog.Refusal](catalog.ValidateName(name))
		require.True(t, ok, name)
		assert.Equal(t, catalog.CodeNameInvalid, r.Code)
		assert.Less(t, len(r.Error()), 250)
	}
}

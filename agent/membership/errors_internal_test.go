package membership

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
)

// Just after its start, an agent has not opened its membership yet. To initialize a
// federation or to join one would be the wrong advice then.
func TestAgentThatStartsIsNotSaidToBeInNoFederation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newReconcilerWorld(t, nil)
		code := func() string {
			_, err := w.reconciler.Member()
			var refusal *catalog.Refusal
			require.ErrorAs(t, err, &refusal)
			return refusal.Code
		}
		assert.Equal(t, "not-a-member", code())
		require.NoError(t, w.store.SaveMembership(w.membership()))
		assert.Equal(t, "starting", code())
		require.NoError(t, w.store.ClearMembership())
		assert.Equal(t, "not-a-member", code())
	})
}

package controller_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/kube/kubetest"
	"github.com/meshway/meshway/agent/kube/mcs"
)

func TestInvalidImportAnnotationIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(kubetest.Cluster) {})
		f.catalog.At("west").Register(t, "shop", "web", "10.2.0.1")
		require.NoError(t, f.cluster.AnnotateNamespace(t.Context(), "shop", mcs.ImportAnnotation, "yes!"))
		advance(10 * time.Second)
		assert.Equal(t, `warning import-annotation namespace shop: namespace shop has the annotation meshway.io/import with the value "yes!", `+
			"which is not valid, so no registered services are imported; "+
			"run kubectl annotate --overwrite namespace shop meshway.io/import=true, or use names of datacenters separated by commas", f.problems())
		require.NoError(t, f.cluster.AnnotateNamespace(t.Context(), "shop", mcs.ImportAnnotation, "true"))
		advance(10 * time.Second)
		assert.Empty(t, f.problems())
		_, err := f.cluster.Import(t.Context(), "shop", "web")
		assert.NoError(t, err)
	})
}

// The history of the catalog is limited. When it does not reach back to the last
// observation, the controller compares all names.
func TestChangesAreFollowedAlsoIfTheHistoryIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(kubetest.Cluster) {})
		west := f.catalog.At("west")
		old := f.export(t, "shop", "old")
		require.NoError(t, f.cluster.AnnotateNamespace(t.Context(), "shop", mcs.ImportAnnotation, "true"))
		west.Register(t, "shop", "gone", "10.2.0.1")
		advance(10 * time.Second)
		_, err := f.cluster.Import(t.Context(), "shop", "gone")
		require.NoError(t, err)

		west.Delete(t, old)
		west.Deregister(t, "shop", "gone", "10.2.0.1")
		f.export(t, "shop", "new")
		west.Register(t, "shop", "came", "10.2.0.2")
		for n := range 9000 { // no time passes
			west.Register(t, "elsewhere", "web", fmt.Sprintf("10.2.%d.%d", n/250+1, n%250+1))
		}
		advance(10 * time.Second)
		for name, imported := range map[string]bool{"old": false, "gone": false, "new": true, "came": true} {
			_, err := f.cluster.Import(t.Context(), "shop", name)
			assert.Equal(t, imported, err == nil, "%s: %v", name, err)
		}
		f.export(t, "shop", "last")
		advance(10 * time.Second)
		_, err = f.cluster.Import(t.Context(), "shop", "last")
		assert.NoError(t, err, "the changes after that are known again")
	})
}

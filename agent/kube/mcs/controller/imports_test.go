package controller_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/agent/kube/kubetest"
	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/consensus/catalog"
)

// An import with a problem gets an Event for it: once, not at each try.
func TestImportProblemIsReportedByOneEvent(t *testing.T) {
	name := catalog.ServiceName{Namespace: "shop", Name: "web"}
	for title, c := range map[string]struct {
		taken string // the name of an existing Service
		want  string
	}{
		"derived Service": {mcs.DerivedName(name), "has the name of the derived Service"},
		"mirror":          {"web-west", "has the name of the mirror"},
	} {
		t.Run(title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, func(kubetest.Cluster) {})
				services := f.cluster.Kubernetes.CoreV1().Services("shop")
				_, err := services.Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: c.taken}}, metav1.CreateOptions{})
				require.NoError(t, err)
				f.export(t, "shop", "web", func(e *catalog.Export) { e.Mirror = true })
				advance(3 * time.Minute)
				require.NotEmpty(t, f.events.Events)
				for len(f.events.Events) > 0 { // the fake detects no conflicts, so there may be two
					event := <-f.events.Events
					assert.Contains(t, event, "Warning NameTaken write Service "+c.taken)
					assert.Contains(t, event, c.want)
				}
				advance(3 * time.Minute)
				assert.Empty(t, f.events.Events, "not at each try")
				assert.Contains(t, f.problems(), "rename or delete the Service that has the name")
				require.NoError(t, services.Delete(t.Context(), c.taken, metav1.DeleteOptions{}))
				advance(time.Minute)
				assert.Empty(t, f.problems())
				i, err := f.cluster.Import(t.Context(), "shop", "web")
				require.NoError(t, err)
				assert.Equal(t, "the service can be used", meta.FindStatusCondition(i.Status.Conditions, string(mcsv1.ServiceImportConditionReady)).Message)
				assert.Empty(t, f.events.Events)
			})
		})
	}
}

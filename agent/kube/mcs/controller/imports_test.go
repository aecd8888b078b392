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

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/kube/mcs/mcstest"
	"github.com/meshway/meshway/consensus/catalog"
)

// An import says by an Event what keeps it from being used: once, and again
// when it comes again.
func TestImportThatCannotBeIsToldByAnEvent(t *testing.T) {
	name := catalog.ServiceName{Namespace: "shop", Name: "web"}
	for title, c := range map[string]struct {
		taken string // the name of a Service of somebody else
		want  string
	}{
		"derived Service": {mcs.DerivedName(name), "has the name of the derived Service"},
		"mirror":          {"web-west", "has the name of the mirror"},
	} {
		t.Run(title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOperator(t, func(mcstest.Cluster) {})
				services := o.cluster.Kubernetes.CoreV1().Services("shop")
				_, err := services.Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: c.taken}}, metav1.CreateOptions{})
				require.NoError(t, err)
				o.export(t, "shop", "web", func(e *catalog.Export) { e.Mirror = true })
				pass(3 * time.Minute)
				require.NotEmpty(t, o.events.Events)
				for len(o.events.Events) > 0 { // the fake knows no lost races, so that one may be there twice
					event := <-o.events.Events
					assert.Contains(t, event, "Warning NameTaken write Service "+c.taken)
					assert.Contains(t, event, c.want)
				}
				pass(3 * time.Minute)
				assert.Empty(t, o.events.Events, "not at each try")
				assert.Contains(t, o.sees(), "rename or delete the Service that has the name")
				require.NoError(t, services.Delete(t.Context(), c.taken, metav1.DeleteOptions{}))
				pass(time.Minute)
				assert.Empty(t, o.sees())
				i, err := o.cluster.Import(t.Context(), "shop", "web")
				require.NoError(t, err)
				assert.Equal(t, "the service can be used", meta.FindStatusCondition(i.Status.Conditions, string(mcsv1.ServiceImportConditionReady)).Message)
				assert.Empty(t, o.events.Events)
			})
		})
	}
}

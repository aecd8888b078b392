package kubetest

import (
	"strconv"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// detectConflicts makes client set the resource versions of Secrets and refuse an
// update of an outdated version.
func detectConflicts(client *fake.Clientset) {
	var version atomic.Int64
	stamp := func(s *corev1.Secret) { s.ResourceVersion = strconv.FormatInt(version.Add(1), 10) }
	client.PrependReactor("create", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
		stamp(action.(clienttesting.CreateAction).GetObject().(*corev1.Secret)) //nolint:forcetypeassert // as registered
		return false, nil, nil
	})
	var mu sync.Mutex // serializes updates
	client.PrependReactor("update", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		next := action.(clienttesting.UpdateAction).GetObject().(*corev1.Secret) //nolint:forcetypeassert // as registered
		object, err := client.Tracker().Get(action.GetResource(), next.Namespace, next.Name)
		if err != nil {
			return true, nil, err
		}
		if have := object.(*corev1.Secret); have.ResourceVersion != next.ResourceVersion { //nolint:forcetypeassert // as registered
			return true, nil, apierrors.NewConflict(action.GetResource().GroupResource(), next.Name, nil)
		}
		stamp(next)
		return true, next, client.Tracker().Update(action.GetResource(), next, next.Namespace)
	})
}

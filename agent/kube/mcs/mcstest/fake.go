package mcstest

import (
	"fmt"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	corefake "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	mcsclient "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"
	mcsfake "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned/fake"
)

// Cluster is an API server that serves the Multi-Cluster Services API.
type Cluster struct {
	Kubernetes kubernetes.Interface
	MCS        mcsclient.Interface
}

// NewFake is a cluster in memory. Of what an API server does it does this:
// it gives objects a UID and a time, and Services an address.
func NewFake() Cluster {
	core, mcs := corefake.NewClientset(), mcsfake.NewSimpleClientset()
	var count atomic.Int64
	admit := func(action clienttesting.Action) (bool, runtime.Object, error) {
		create, ok := action.(clienttesting.CreateAction)
		if !ok {
			return false, nil, nil
		}
		n := count.Add(1)
		object, err := meta.Accessor(create.GetObject())
		if err != nil {
			return true, nil, err
		}
		object.SetUID(types.UID(fmt.Sprint("uid-", n)))
		object.SetCreationTimestamp(metav1.Now())
		if service, ok := create.GetObject().(*corev1.Service); ok {
			allocate(service, n)
		}
		return false, nil, nil
	}
	core.PrependReactor("create", "*", admit)
	mcs.PrependReactor("create", "*", admit)
	mcs.PrependWatchReactor("*", fromTheList(mcs.Tracker()))
	return Cluster{Kubernetes: core, MCS: noStreams{mcs}}
}

// React lets a fake cluster answer requests otherwise; not those to watch.
func (c Cluster) React(answer clienttesting.ReactionFunc) {
	if fake, ok := c.MCS.(noStreams); ok {
		fake.PrependReactor("*", "*", answer)
	}
	if fake, ok := c.Kubernetes.(*corefake.Clientset); ok {
		fake.PrependReactor("*", "*", answer)
	}
}

// fromTheList watches from where the list ended, as the clients of Kubernetes do and
// those that mcs-api generates do not: they lose what comes in between.
func fromTheList(tracker clienttesting.ObjectTracker) clienttesting.WatchReactionFunc {
	return func(action clienttesting.Action) (bool, watch.Interface, error) {
		w, ok := action.(clienttesting.WatchActionImpl)
		if !ok {
			return false, nil, nil
		}
		found, err := tracker.Watch(w.GetResource(), w.GetNamespace(), w.ListOptions)
		return true, found, err
	}
}

// noStreams tells informers what the fake clients of Kubernetes tell of themselves.
type noStreams struct{ *mcsfake.Clientset }

// IsWatchListSemanticsUnSupported implements an interface of client-go.
func (noStreams) IsWatchListSemanticsUnSupported() bool { return true }

func allocate(s *corev1.Service, n int64) {
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return
	}
	if len(s.Spec.IPFamilies) == 0 {
		s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	}
	if s.Spec.ClusterIP == "" {
		s.Spec.ClusterIP = fmt.Sprintf("10.96.%d.%d", n/250, n%250+1)
	}
	s.Spec.ClusterIPs = []string{s.Spec.ClusterIP}
}

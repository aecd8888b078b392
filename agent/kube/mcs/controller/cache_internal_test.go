package controller

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/agent/kube/mcs"
)

// The API server refuses the address of a deleted Service for a moment, in which the
// cache may still have the Service: its address is not that of another.
func TestOnlyOtherServicesHoldAnAddress(t *testing.T) {
	service := func(namespace, name string, ips ...string) *corev1.Service {
		return &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Spec:       corev1.ServiceSpec{ClusterIPs: ips},
		}
	}
	for name, c := range map[string]struct {
		cached *corev1.Service
		want   bool
	}{
		"the Service itself":                   {service("shop", "web", "10.96.0.1"), false},
		"another Service":                      {service("shop", "db", "10.96.0.1"), true},
		"one of that name, another namespace":  {service("blog", "web", "10.96.0.1"), true},
		"another Service, the second family":   {service("shop", "db", "10.96.0.9", "fd00::1"), true},
		"another Service with other addresses": {service("shop", "db", "10.96.0.2", "fd00::2"), false},
	} {
		t.Run(name, func(t *testing.T) {
			store := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
			require.NoError(t, store.Add(c.cached))
			cached := clusterCache{services: corelisters.NewServiceLister(store)}
			assert.Equal(t, c.want, cached.othersHaveAddress(service("shop", "web", "10.96.0.1", "fd00::1")))
		})
	}
}

// leavingLister has a Service until it was read once.
type leavingLister struct {
	corelisters.ServiceLister
	service *corev1.Service
}

func (l *leavingLister) Services(string) corelisters.ServiceNamespaceLister {
	return leavingNamespace{lister: l}
}

type leavingNamespace struct {
	corelisters.ServiceNamespaceLister
	lister *leavingLister
}

func (n leavingNamespace) Get(name string) (*corev1.Service, error) {
	if n.lister.service == nil {
		return nil, apierrors.NewNotFound(corev1.Resource("services"), name)
	}
	defer func() { n.lister.service = nil }()
	return n.lister.service, nil
}

// One that is created without the addresses of the import gets others.
func TestAServiceThatIsDeletedWhileItIsWrittenIsNotCreatedWithOtherAddresses(t *testing.T) {
	kubernetes := fake.NewClientset() // from which the Service is deleted
	have := &corev1.Service{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "derived", Labels: map[string]string{mcs.ManagedByLabel: mcs.ManagedBy},
	}, Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.1", ClusterIPs: []string{"10.96.0.1"}}}
	want := have.DeepCopy()
	want.Spec = corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}
	w := writer{cfg: Config{Kubernetes: kubernetes, Log: slog.New(slog.DiscardHandler)}, cache: &clusterCache{services: &leavingLister{service: have}}}
	w.name.Namespace = "shop"
	imported := &mcsv1.ServiceImport{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}
	_, err := w.service(t.Context(), want, imported)
	assert.True(t, apierrors.IsNotFound(err), "it is tried again, with the addresses: %v", err)
	services, err := kubernetes.CoreV1().Services("shop").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	assert.Empty(t, services.Items)
}

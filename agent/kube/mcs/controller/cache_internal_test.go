package controller

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
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

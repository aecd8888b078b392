package kube

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshway/meshway/agent/plan"
)

func serverEndpoints(addresses ...string) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"},
		Endpoints:  []discoveryv1.Endpoint{{Addresses: addresses}},
	}
}

// A packet to the ClusterIP has the address of an endpoint when it is routed.
func TestAddressesOfTheAPIServerAreThoseOfItsEndpointsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(serverEndpoints("192.168.7.2", "192.168.7.1"))
		var down atomic.Bool
		client.PrependReactor("get", "endpointslices", func(clienttesting.Action) (bool, runtime.Object, error) {
			return down.Load(), nil, errors.New("down")
		})
		cfg := APIServerConfig{Client: client, Server: "https://10.96.0.1:443", Resolve: literal, Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
		s, err := NewAPIServer(cfg)
		require.NoError(t, err)
		assert.Equal(t, addressList("10.96.0.1"), s.Addresses(), "before it has read any")
		run(t, s.Run)
		synctest.Wait()
		assert.Equal(t, addressList("10.96.0.1", "192.168.7.1", "192.168.7.2"), s.Addresses())

		update := func(addresses ...string) {
			_, err := client.DiscoveryV1().EndpointSlices("default").Update(t.Context(), serverEndpoints(addresses...), metav1.UpdateOptions{})
			require.NoError(t, err)
		}
		update("192.168.7.3")
		time.Sleep(serverInterval)
		synctest.Wait()
		assert.Equal(t, addressList("10.96.0.1", "192.168.7.3"), s.Addresses(), "the control plane was replaced")

		update()
		time.Sleep(serverInterval)
		synctest.Wait()
		assert.Equal(t, addressList("10.96.0.1", "192.168.7.3"), s.Addresses(), "the only server restarts")
		down.Store(true)
		time.Sleep(serverInterval)
		synctest.Wait()
		assert.Equal(t, addressList("10.96.0.1", "192.168.7.3"), s.Addresses(), "while it does not answer")
		s, err = NewAPIServer(cfg)
		require.NoError(t, err)
		assert.Equal(t, addressList("10.96.0.1", "192.168.7.3"), s.Addresses(), "after a start")
	})
}

func TestAMissingPermissionForTheEndpointsOfTheAPIServerIsAProblemUntilItIsGranted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(serverEndpoints("192.168.7.1"))
		resource := schema.GroupResource{Group: "discovery.k8s.io", Resource: "endpointslices"}
		var answer atomic.Pointer[error]
		set := func(err error) { answer.Store(&err) }
		set(apierrors.NewForbidden(resource, "kubernetes", errors.New("no rule")))
		client.PrependReactor("get", "endpointslices", func(clienttesting.Action) (bool, runtime.Object, error) {
			err := *answer.Load()
			return err != nil, nil, err
		})
		s, err := NewAPIServer(APIServerConfig{Client: client, Server: "https://10.96.0.1:443", Resolve: literal, Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		run(t, s.Run)
		after := func(d time.Duration) []plan.Problem {
			time.Sleep(d)
			synctest.Wait()
			return s.Problems()
		}
		assert.Empty(t, after(refusalLimit-1), "an API server that starts refuses all requests")
		problems := after(time.Second)
		require.Len(t, problems, 1)
		assert.Equal(t, "api-server-unknown", problems[0].Code)
		assert.Contains(t, problems[0].Message, "no rule")
		assert.Contains(t, problems[0].Remedy, "ClusterRole")
		assert.Contains(t, problems[0].Remedy, "resourceNames [kubernetes], verbs [get]")
		set(errors.New("connection refused"))
		assert.Len(t, after(serverInterval), 1, "that shows no permission")
		set(nil)
		assert.Empty(t, after(serverInterval))
		assert.Equal(t, addressList("10.96.0.1", "192.168.7.1"), s.Addresses())
		set(errors.New("connection refused"))
		assert.Empty(t, after(2*refusalLimit+serverInterval), "no permission is missing")
	})
}

func TestNameOfTheAPIServerIsResolved(t *testing.T) {
	for _, server := range []string{"https://api.example.org:6443", "api.example.org", "api.example.org:6443"} {
		synctest.Test(t, func(t *testing.T) {
			resolve := func(_ context.Context, name string) ([]netip.Addr, error) {
				assert.Equal(t, "api.example.org", name)
				return addressList("192.168.7.9"), nil
			}
			s, err := NewAPIServer(APIServerConfig{Client: fake.NewClientset(), Server: server, Resolve: resolve, Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			assert.Empty(t, s.Addresses())
			run(t, s.Run)
			synctest.Wait()
			assert.Equal(t, addressList("192.168.7.9"), s.Addresses(), "without permission to read its endpoints")
		})
	}
	assert.Equal(t, "2001:db8::6", hostIn("https://[2001:db8::6]:6443"))
	assert.Equal(t, "2001:db8::6", hostIn("2001:db8::6"))
}

func literal(_ context.Context, name string) ([]netip.Addr, error) { return addressList(name), nil }

func addressList(texts ...string) []netip.Addr {
	var list []netip.Addr
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

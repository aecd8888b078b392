//go:build linux && root

package federation_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
)

// faultyAPI forwards requests to an API server. While faulty is set, it delays
// them and answers each first and each third of four equal requests with errors.
// Errors at random would delay a service for as long as they happened to repeat.
type faultyAPI struct {
	next     http.Handler
	faulty   atomic.Bool
	requests atomic.Int64

	mu     sync.Mutex     // guards counts
	counts map[string]int // of requests by method and path
}

const faultyDelay = 2 * time.Second

// apiServerRemedy is the remedy that meshctl status prints when services wait for
// the API server.
const apiServerRemedy = "check that the API server answers; no restart is needed"

func (f *faultyAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.requests.Add(1)
	if f.faulty.Load() {
		select {
		case <-r.Context().Done():
			return
		case <-time.After(faultyDelay):
		}
		switch f.count(r) % 4 {
		case 1:
			http.Error(w, "etcd is unavailable", http.StatusInternalServerError)
			return
		case 3:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many requests", http.StatusTooManyRequests)
			return
		}
	}
	f.next.ServeHTTP(w, r)
}

// count returns how many requests equal to r, and r, were sent.
func (f *faultyAPI) count(r *http.Request) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := r.Method + " " + r.URL.Path
	f.counts[key]++
	return f.counts[key]
}

// testFaultyAPIServer connects the agents of the second cluster to their API
// server through a faultyAPI.
func (tb *testbed) testFaultyAPIServer(t *testing.T, node client, good string) {
	east, west := tb.clusters[0], tb.clusters[1]
	var api *faultyAPI
	proxy, err := west.StartAPIProxy(16443, func(next http.Handler) http.Handler {
		api = &faultyAPI{next: next, counts: make(map[string]int)}
		return api
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, proxy.Close()) })
	tb.useAPIProxy(t, west, proxy)
	tb.await(t, "the agent sends requests to the proxy", func(context.Context) error {
		if api.requests.Load() == 0 {
			return errors.New("the proxy has received no request")
		}
		return nil
	})
	tb.awaitNoStatus(t, west, apiServerRemedy)

	stop := tb.startRequests(t, node, good)
	api.faulty.Store(true)
	require.NoError(t, east.Apply(within(t, timeout), fmt.Sprintf(exportedServiceManifest, "slowly")))
	tb.awaitStatus(t, west, apiServerRemedy)
	url := "http://" + tb.importedAddress(t, west, "slowly") + "/"
	tb.await(t, "the service is reachable", func(ctx context.Context) error { return node.checkServers(ctx, url, "echo-0") })
	api.faulty.Store(false)
	tb.awaitNoStatus(t, west, apiServerRemedy)
	assert.Empty(t, stop(), "traffic continues")
}

// useAPIProxy makes the agents of a cluster connect to the API server through a
// proxy.
func (tb *testbed) useAPIProxy(t *testing.T, c *cluster.Cluster, proxy *cluster.APIProxy) {
	t.Helper()
	tb.exec(t, "kubectl", "--context", c.Name(), "-n", namespace, "set", "env", "daemonset/meshway", "daemonset/meshway-node",
		"KUBERNETES_SERVICE_HOST="+proxy.Address.Addr().String(), fmt.Sprint("KUBERNETES_SERVICE_PORT=", proxy.Address.Port()))
	require.NoError(t, tb.AwaitRollout(within(t, 2*timeout), c))
	require.NoError(t, tb.AwaitAgent(within(t, timeout), c))
	assert.Contains(t, strings.TrimSpace(tb.status(t.Context(), c)), "member of federation")
}

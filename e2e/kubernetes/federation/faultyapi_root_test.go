//go:build linux && root

package federation_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
)

// faultyAPI makes an API server answer slowly, and half of the requests with an error.
type faultyAPI struct {
	next     http.Handler
	faulty   atomic.Bool
	requests atomic.Int64 // requests
}

const faultyDelay = 2 * time.Second

// apiServerRemedy is what the operator is told to see to.
const apiServerRemedy = "see that the API server answers"

func (i *faultyAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.requests.Add(1)
	if i.faulty.Load() {
		select {
		case <-r.Context().Done():
			return
		case <-time.After(faultyDelay):
		}
		switch rand.IntN(4) {
		case 0:
			http.Error(w, "etcd is ill", http.StatusInternalServerError)
			return
		case 1:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many of you", http.StatusTooManyRequests)
			return
		}
	}
	i.next.ServeHTTP(w, r)
}

// testFaultyAPIServer leads the agent of the second cluster to its API server
// through one that is slow and fails.
func (tb *testbed) testFaultyAPIServer(t *testing.T, node client, good string) {
	east, west := tb.clusters[0], tb.clusters[1]
	var api *faultyAPI
	front, err := west.StartAPIProxy(16443, func(next http.Handler) http.Handler {
		api = &faultyAPI{next: next}
		return api
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, front.Close()) })
	tb.useAPIProxy(t, west, front)
	tb.await(t, "the agent comes this way", func(context.Context) error {
		if api.requests.Load() == 0 {
			return errors.New("nobody has")
		}
		return nil
	})
	tb.awaitNoStatus(t, west, apiServerRemedy)

	stop := tb.startRequests(t, node, good)
	api.faulty.Store(true)
	require.NoError(t, east.Apply(within(t, timeout), fmt.Sprintf(exportedServiceManifest, "slowly")))
	tb.awaitStatus(t, west, apiServerRemedy)
	url := "http://" + tb.importedAddress(t, west, "slowly") + "/"
	tb.await(t, "it can be used", func(ctx context.Context) error { return node.checkServers(ctx, url, "echo-0") })
	api.faulty.Store(false)
	tb.awaitNoStatus(t, west, apiServerRemedy)
	assert.Empty(t, stop(), "traffic goes on")
}

// useAPIProxy has the agents of a cluster use another way to the API server.
func (tb *testbed) useAPIProxy(t *testing.T, c *cluster.Cluster, front *cluster.APIProxy) {
	t.Helper()
	tb.exec(t, "kubectl", "--context", c.Name(), "-n", namespace, "set", "env", "daemonset/meshway",
		"KUBERNETES_SERVICE_HOST="+front.Address.Addr().String(), fmt.Sprint("KUBERNETES_SERVICE_PORT=", front.Address.Port()))
	tb.exec(t, "kubectl", "--context", c.Name(), "-n", namespace, "rollout", "status", "daemonset/meshway", "--timeout=90s")
	require.NoError(t, tb.AwaitAgent(within(t, timeout), c))
	assert.Contains(t, strings.TrimSpace(tb.status(t.Context(), c)), "member of federation")
}

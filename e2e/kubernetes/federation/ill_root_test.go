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

// illness makes an API server answer slowly, and half of the requests with an error.
type illness struct {
	next   http.Handler
	ill    atomic.Bool
	served atomic.Int64 // requests
}

const slowness = 2 * time.Second

// answers is what the operator is told to see to.
const answers = "see that the API server answers"

func (i *illness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.served.Add(1)
	if i.ill.Load() {
		select {
		case <-r.Context().Done():
			return
		case <-time.After(slowness):
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

// testIllAPIServer leads the agent of the second cluster to its API server
// through one that is slow and fails.
func (w *world) testIllAPIServer(t *testing.T, node place, good string) {
	east, west := w.clusters[0], w.clusters[1]
	var api *illness
	front, err := west.Front(16443, func(next http.Handler) http.Handler {
		api = &illness{next: next}
		return api
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, front.Close()) })
	w.lead(t, west, front)
	w.await(t, "the agent comes this way", func(context.Context) error {
		if api.served.Load() == 0 {
			return errors.New("nobody has")
		}
		return nil
	})
	w.awaitSilence(t, west, answers)

	stop := w.load(t, node, good)
	api.ill.Store(true)
	require.NoError(t, east.Apply(within(t, patience), fmt.Sprintf(exportOf, "slowly")))
	w.awaitStatus(t, west, answers)
	url := "http://" + w.importedAddress(t, west, "slowly") + "/"
	w.await(t, "it can be used", func(ctx context.Context) error { return node.served(ctx, url, "echo-0") })
	api.ill.Store(false)
	w.awaitSilence(t, west, answers)
	assert.Empty(t, stop(), "traffic goes on")
}

// lead has the agents of a cluster use another way to the API server.
func (w *world) lead(t *testing.T, c *cluster.Cluster, front *cluster.Front) {
	t.Helper()
	w.run(t, "kubectl", "--context", c.Name(), "-n", namespace, "set", "env", "daemonset/meshway",
		"KUBERNETES_SERVICE_HOST="+front.Address.Addr().String(), fmt.Sprint("KUBERNETES_SERVICE_PORT=", front.Address.Port()))
	w.run(t, "kubectl", "--context", c.Name(), "-n", namespace, "rollout", "status", "daemonset/meshway", "--timeout=90s")
	require.NoError(t, w.AwaitAgent(within(t, patience), c))
	assert.Contains(t, strings.TrimSpace(w.status(t.Context(), c)), "member of federation")
}

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
)

func TestMetricsPortInUseIsAProblemUntilItIsFree(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	m := newMetrics(netip.MustParseAddrPort(taken.Addr().String()), slog.New(slog.DiscardHandler))
	problems := m.problems(func() []plan.Problem { return []plan.Problem{{Code: "other"}} })

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- m.serve(ctx, metricsOf(func() status.Snapshot { return status.Snapshot{At: time.Now()} }))
	}()
	require.Eventually(t, func() bool { return len(problems()) == 2 }, 10*time.Second, time.Millisecond)
	p := problems()[1]
	assert.Contains(t, p.Message, fmt.Sprintf("is in use by process %d (", os.Getpid()))
	assert.Equal(t, "stop the process that has the port, or set metrics.listen to another address, or to off", p.Remedy)
	assert.Empty(t, ended, "the agent runs on")

	require.NoError(t, taken.Close())
	require.Eventually(t, func() bool { return len(problems()) == 1 }, 3*portRetry, 10*time.Millisecond)
	answer, err := http.Get("http://" + taken.Addr().String() + "/healthz")
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	cancel()
	require.NoError(t, <-ended)
}

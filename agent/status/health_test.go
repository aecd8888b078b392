package status_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/status"
)

func TestMetricsMatchGoldens(t *testing.T) {
	for name, sources := range map[string]status.Sources{"member": member(), "standalone": standalone()} {
		t.Run(name, func(t *testing.T) {
			registry := prometheus.NewPedanticRegistry()
			require.NoError(t, registry.Register(status.NewCollector(func() status.Snapshot { return status.Build(sources) })))
			problems, err := testutil.GatherAndLint(registry)
			require.NoError(t, err)
			assert.Empty(t, problems)
			golden(t, name+".metrics", exposition(t, registry))
		})
	}
}

// exposition returns the text of a scrape.
func exposition(t *testing.T, registry *prometheus.Registry) []byte {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	require.NotEmpty(t, families)
	var out bytes.Buffer
	for _, f := range families {
		_, err := expfmt.MetricFamilyToText(&out, f)
		require.NoError(t, err)
	}
	return out.Bytes()
}

func TestProblemMetricHasOneSeriesPerCode(t *testing.T) {
	s := status.Build(member())
	for _, p := range s.Problems {
		s.Problems = append(s.Problems, p) // the same problem with many subjects
		s.Problems[len(s.Problems)-1].Subject += " again"
	}
	got, err := testutil.CollectAndFormat(status.NewCollector(func() status.Snapshot { return s }), expfmt.TypeTextPlain, "meshway_problems")
	require.NoError(t, err)
	assert.Equal(t, 2+2, strings.Count(string(got), "\n"), "HELP, TYPE, one line for each code:\n%s", got)
}

func TestHealthDependsOnTheAgeOfTheLastPass(t *testing.T) {
	cases := map[string]struct {
		age  time.Duration
		want string
	}{
		"fresh":            {0, ""},
		"at the limit":     {90 * time.Second, ""},
		"old":              {91 * time.Second, "the agent's last pass was 1m31s ago"},
		"clock set back":   {-time.Hour, ""},
		"never, zero time": {now.Sub(time.Time{}), "the agent's last pass was"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := status.Health(status.Snapshot{At: now.Add(-c.age)}, now, 90*time.Second)
			assert.Equal(t, c.want == "", got == "", got)
			if c.age < 1000*time.Hour {
				assert.Equal(t, c.want, got)
			}
		})
	}
	assert.Equal(t, "the agent has not made a pass yet", status.Health(status.Snapshot{}, now, time.Second))
}

func TestReadinessDependsOnlyOnThisHost(t *testing.T) {
	cases := map[string]struct {
		change func(*status.Snapshot)
		want   string
	}{
		"member":                    {func(*status.Snapshot) {}, ""},
		"standalone":                {func(s *status.Snapshot) { *s = status.Build(standalone()) }, ""},
		"no leader":                 {func(s *status.Snapshot) { s.Catalog.Leader, s.Catalog.Role = "", "candidate" }, ""},
		"all others unreachable":    {func(s *status.Snapshot) { s.Datacenters[1].Reachable, s.Datacenters[2].Reachable = false, false }, ""},
		"joining":                   {func(s *status.Snapshot) { s.State = status.Joining }, "this gateway is joining"},
		"leaving":                   {func(s *status.Snapshot) { s.State = status.Leaving }, "this gateway is leaving"},
		"catalog not read":          {func(s *status.Snapshot) { s.Catalog.Synced = false }, "the catalog has not been read yet"},
		"nothing applied":           {func(s *status.Snapshot) { s.Dataplane.LastApply = time.Time{} }, "tunnels and routes have not been applied yet"},
		"applied before, fails now": {func(s *status.Snapshot) { s.Dataplane.Errors = []string{"a", "b"} }, "the data plane could not be applied: a; b"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := status.Build(member())
			c.change(&s)
			assert.Equal(t, c.want, status.Readiness(s))
		})
	}
}

func TestHandlerServesMetricsAndHealth(t *testing.T) {
	snapshot := status.Build(member())
	at := now
	server := httptest.NewServer(status.NewHandler(status.HandlerConfig{
		Snapshot: func() status.Snapshot { return snapshot }, Now: func() time.Time { return at },
	}))
	t.Cleanup(server.Close)
	get := func(path string) (int, string) {
		response, err := http.Get(server.URL + path) //nolint:noctx // a test server
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(body)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		code, body := get(path)
		assert.Equal(t, http.StatusOK, code)
		assert.Equal(t, "ok\n", body)
	}
	code, body := get("/metrics")
	assert.Equal(t, http.StatusOK, code)
	assert.Contains(t, body, `meshway_peer_up{datacenter="west",gateway="a"} 1`)
	assert.Contains(t, body, "go_goroutines")

	at, snapshot.State = at.Add(time.Hour), status.Joining
	for path, want := range map[string]string{"/healthz": "1h0m0s ago", "/readyz": "joining"} {
		code, body := get(path)
		assert.Equal(t, http.StatusServiceUnavailable, code)
		assert.Contains(t, body, want)
	}
	code, _ = get("/other")
	assert.Equal(t, http.StatusNotFound, code)
}

package status

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/meshway/meshway/agent/requirement"
)

// defaultMaxAge is well above the resync interval of the agent, so that only
// an agent that hangs is reported.
const defaultMaxAge = 90 * time.Second

// HandlerConfig configures NewHandler.
type HandlerConfig struct {
	Snapshot func() Snapshot  // returns the newest snapshot; must not block
	Now      func() time.Time // the clock with which Snapshot.At is compared
	MaxAge   time.Duration    // age of the snapshot above which /healthz fails; 0: 90 s
}

// NewHandler returns a handler that serves /metrics, /healthz and /readyz.
//
// /healthz reports whether the agent still makes passes; if not, the process
// should be restarted. /readyz reports whether this host's tunnels and routes
// are in place. Neither depends on quorum or on other datacenters: restarting a
// gateway because others are down would only make an outage larger.
func NewHandler(cfg HandlerConfig) http.Handler {
	if cfg.MaxAge == 0 {
		cfg.MaxAge = defaultMaxAge
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(NewCollector(cfg.Snapshot), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.Handle("GET /healthz", answer(func() string { return Health(cfg.Snapshot(), cfg.Now(), cfg.MaxAge) }))
	mux.Handle("GET /readyz", answer(func() string { return Readiness(cfg.Snapshot()) }))
	return mux
}

// answer responds with 200 "ok", or with 503 and the reason that check returns.
func answer(check func() string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		reason := check()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if reason == "" {
			_, _ = fmt.Fprintln(w, "ok") // an error means that the client closed the connection
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintln(w, reason)
	}
}

// Health returns why the agent is not healthy, or the empty string. The agent is
// healthy if its last pass was at most maxAge before now.
func Health(s Snapshot, now time.Time, maxAge time.Duration) string {
	if s.At.IsZero() {
		return "the agent has not made a pass yet"
	}
	if age := now.Sub(s.At); age > maxAge {
		return fmt.Sprintf("the agent's last pass was %s ago", age.Round(time.Second))
	}
	return ""
}

// Readiness returns why this host is not ready, or the empty string. A
// standalone gateway is ready if it could join a federation.
func Readiness(s Snapshot) string {
	switch s.State {
	case Standalone: // there is nothing to apply before a join
		if i := slices.IndexFunc(s.Problems, requirement.Is); i >= 0 {
			return s.Problems[i].Message + ": " + s.Problems[i].Remedy
		}
		return ""
	case Member, Node:
	default:
		return fmt.Sprintf("this gateway is %s", s.State)
	}
	switch {
	case !s.Catalog.Synced && s.State == Node:
		return "the inventory of the cluster has not been read yet"
	case !s.Catalog.Synced:
		return "the catalog has not been read yet"
	case len(s.Dataplane.Errors) > 0:
		return "the data plane could not be applied: " + strings.Join(s.Dataplane.Errors, "; ")
	case s.Dataplane.LastApply.IsZero():
		return "tunnels and routes have not been applied yet"
	}
	return ""
}

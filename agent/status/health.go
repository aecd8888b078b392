package status

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// defaultMaxAge is well above the loop's resync interval, so that only a loop
// that hangs is found dead.
const defaultMaxAge = 90 * time.Second

// HandlerConfig is what the HTTP endpoint needs.
type HandlerConfig struct {
	Snapshot func() Snapshot  // newest; must not block
	Now      func() time.Time // the clock against which Snapshot.At is old or not
	MaxAge   time.Duration    // of a snapshot until /healthz fails; 0: 90 s
}

// NewHandler serves /metrics, /healthz and /readyz.
//
// /healthz tells whether the process is worth keeping: its loop makes passes.
// /readyz tells whether this gateway does its work. Neither depends on quorum
// or on other datacenters: restarting a gateway because others are gone would
// only add to the loss.
func NewHandler(c HandlerConfig) http.Handler {
	if c.MaxAge == 0 {
		c.MaxAge = defaultMaxAge
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(NewCollector(c.Snapshot), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.Handle("GET /healthz", answer(func() string { return Health(c.Snapshot(), c.Now(), c.MaxAge) }))
	mux.Handle("GET /readyz", answer(func() string { return Readiness(c.Snapshot()) }))
	return mux
}

// answer is 200 "ok", or 503 with the reason.
func answer(check func() string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		reason := check()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if reason == "" {
			_, _ = fmt.Fprintln(w, "ok") // the client went away: nobody to tell
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintln(w, reason)
	}
}

// Health says what is wrong with the agent's loop; empty: nothing.
func Health(s Snapshot, now time.Time, maxAge time.Duration) string {
	if s.At.IsZero() {
		return "the agent has not made a pass yet"
	}
	if age := now.Sub(s.At); age > maxAge {
		return fmt.Sprintf("the agent's last pass was %s ago", age.Round(time.Second))
	}
	return ""
}

// Readiness says what keeps this gateway from doing its work; empty: nothing.
func Readiness(s Snapshot) string {
	switch s.State {
	case Standalone:
		return "" // waiting for meshctl is all that there is to do
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
		return "the data plane is not as it should be: " + strings.Join(s.Dataplane.Errors, "; ")
	case s.Dataplane.LastApply.IsZero():
		return "tunnels and routes have not been applied yet"
	}
	return ""
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/portowner"
	"github.com/meshway/meshway/agent/status"
)

const (
	// metricsGrace is how long a running scrape may take when meshd stops.
	metricsGrace = time.Second
	// metricsRetry is the time between attempts to bind metrics.listen.
	metricsRetry = time.Second
)

// metrics serves /metrics, /healthz and /readyz. Traffic does not depend on it: while
// it cannot be bound, there is a problem, and the agent runs without it.
type metrics struct {
	at      netip.AddrPort // port 0: off
	log     *slog.Logger
	problem atomic.Pointer[plan.Problem] // nil: there is none
}

func newMetrics(at netip.AddrPort, log *slog.Logger) *metrics { return &metrics{at: at, log: log} }

// serve serves snapshots until ctx ends.
func (m *metrics) serve(ctx context.Context, snapshot func() status.Snapshot) error {
	if m.at.Port() == 0 {
		return nil
	}
	var listener net.Listener
	bound := notify.LoopUntil(ctx, metricsRetry, func(ctx context.Context) bool {
		var err error
		var listen net.ListenConfig
		listener, err = listen.Listen(ctx, "tcp", m.at.String())
		m.report(err)
		return err == nil
	})
	if !bound {
		return nil
	}
	server := &http.Server{
		Handler:           status.NewHandler(status.HandlerConfig{Snapshot: snapshot, Now: time.Now}),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(m.log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), metricsGrace)
		defer cancel()
		_ = server.Shutdown(grace)
	})
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

// report sets the problem of an attempt to bind, and logs it when it changes.
func (m *metrics) report(err error) {
	if err == nil {
		m.problem.Store(nil)
		return
	}
	cause := err.Error()
	if errors.Is(err, syscall.EADDRINUSE) {
		cause = fmt.Sprintf("port %d is in use by %s", m.at.Port(), portowner.Of("tcp", m.at.Port()))
	}
	p := &plan.Problem{
		Code:     "metrics-unavailable",
		Severity: plan.Warning,
		Subject:  "metrics.listen",
		Message:  fmt.Sprintf("metrics.listen %v cannot be opened, so that there are neither metrics nor health checks: %s", m.at, cause),
		Remedy:   "stop the process that has the port, or set metrics.listen to another address, or to off",
	}
	if last := m.problem.Swap(p); last == nil || last.Message != p.Message {
		m.log.Warn(p.Message, "code", p.Code, "subject", p.Subject, "remedy", p.Remedy)
	}
}

// problems returns the problem of the last attempt to bind, after others. others may
// be nil.
func (m *metrics) problems(others func() []plan.Problem) func() []plan.Problem {
	return func() []plan.Problem {
		var out []plan.Problem
		if others != nil {
			out = slices.Clip(others())
		}
		if p := m.problem.Load(); p != nil {
			out = append(out, *p)
		}
		return out
	}
}

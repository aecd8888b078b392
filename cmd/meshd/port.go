package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/portowner"
	"github.com/meshway/meshway/agent/problemlog"
	"github.com/meshway/meshway/agent/status"
)

const (
	// portGrace is how long a running call may take when meshd stops.
	portGrace = time.Second
	// portRetry is the time between attempts to bind a port.
	portRetry = time.Second
)

// port serves HTTP on a TCP port of the configuration. Traffic does not depend on it:
// while it cannot be bound, there is a problem, and the agent runs without it.
type port struct {
	at      netip.AddrPort // port 0: off
	key     string         // of the configuration: metrics.listen
	code    string         // of the problem
	without string         // what follows while it cannot be bound
	log     *slog.Logger
	problem atomic.Pointer[plan.Problem] // nil: there is none
}

// newMetrics returns the port of /metrics, /healthz and /readyz.
func newMetrics(at netip.AddrPort, log *slog.Logger) *port {
	return &port{
		at: at, key: "metrics.listen", code: "metrics-unavailable", without: "there are neither metrics nor health checks", log: log,
	}
}

// metricsOf returns what serves snapshots on that port.
func metricsOf(snapshot func() status.Snapshot) http.Handler {
	return status.NewHandler(status.HandlerConfig{Snapshot: snapshot, Now: time.Now})
}

// serve serves handler until ctx ends.
func (m *port) serve(ctx context.Context, handler http.Handler) error {
	if m.at.Port() == 0 {
		return nil
	}
	var listener net.Listener
	bound := notify.LoopUntil(ctx, portRetry, func(ctx context.Context) bool {
		var err error
		var listen net.ListenConfig
		listener, err = listen.Listen(ctx, "tcp", m.at.String())
		m.report(err)
		return err == nil
	})
	if !bound {
		return nil
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:           handler,
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(m.log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), portGrace)
		defer cancel()
		if err := server.Shutdown(grace); err != nil {
			_ = server.Close() // ends the calls that took too long
		}
	})
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", m.key, err)
	}
	return nil
}

// report sets the problem of an attempt to bind, and logs it when it changes.
func (m *port) report(err error) {
	if err == nil {
		m.problem.Store(nil)
		return
	}
	cause := err.Error()
	if errors.Is(err, syscall.EADDRINUSE) {
		cause = fmt.Sprintf("port %d is in use by %s", m.at.Port(), portowner.Of("tcp", m.at.Port()))
	}
	p := &plan.Problem{
		Code:     m.code,
		Severity: plan.Warning,
		Subject:  m.key,
		Message:  fmt.Sprintf("%s %v cannot be opened, so that %s: %s", m.key, m.at, m.without, cause),
		Remedy:   fmt.Sprintf("stop the process that has the port, or set %s to another address, or to off", m.key),
	}
	if last := m.problem.Swap(p); last == nil || last.Message != p.Message {
		problemlog.Write(m.log, slog.LevelWarn, *p)
	}
}

// problems returns the problem of the last attempt to bind, after others. others may
// be nil.
func (m *port) problems(others func() []plan.Problem) func() []plan.Problem {
	return withProblems(others, func() []plan.Problem {
		if p := m.problem.Load(); p != nil {
			return []plan.Problem{*p}
		}
		return nil
	})
}

package dataplane

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/problemlog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

const (
	// resyncInterval bounds the time between two passes, so that drift without an
	// event is repaired.
	resyncInterval = 30 * time.Second
	// retryInterval is the time between passes while a session is down, the last
	// apply failed, or other programs have just changed their rules.
	retryInterval = time.Second
)

// outcome is what a pass of a gateway or a node resulted in.
type outcome struct {
	// at is the clock of the pass: of its inputs, its plan and what follows from them.
	at time.Time
	// appliedAt is when the tunnels were read again, after the apply.
	appliedAt time.Time
	problems  []plan.Problem
	tunnels   []tunnel.Observed
	routes    routes.Observed
	lookedAt  time.Time // when the routes of the kernel were read; zero: not since an error
	drops     drops
	stale     bool // the rules of other programs have changed since they were read
	errors    []error
}

// next returns the beginning of the outcome of the pass that follows.
func (o *outcome) next(at time.Time) outcome {
	after := outcome{at: at}
	if len(o.errors) == 0 {
		after.lookedAt = o.lookedAt
	}
	return after
}

func (o *outcome) add(err error) {
	if err != nil {
		o.errors = append(o.errors, err)
	}
}

// errorTexts returns the messages of the errors.
func (o *outcome) errorTexts() []string {
	var texts []string
	for _, err := range o.errors {
		texts = append(texts, err.Error())
	}
	return texts
}

// log writes what differs from the outcome before: errors and problems that
// persist are logged once.
func (o *outcome) log(log *slog.Logger, before outcome) {
	if err := errors.Join(o.errors...); err != nil {
		if last := errors.Join(before.errors...); last == nil || last.Error() != err.Error() {
			log.Error("failed to apply the data plane", "err", err)
		}
	}
	problemlog.WriteChanges(log, slog.LevelWarn, before.problems, o.problems)
}

// stopped returns nil if err is only the end of ctx.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func anyDown(sessions []plan.Session) bool {
	return slices.ContainsFunc(sessions, func(s plan.Session) bool { return !s.Up })
}

package agent

import (
	"context"
	"errors"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// joinWhenTold joins with the token of the configuration, if this gateway is
// in no federation. It tries again while nobody answers; a refusal is final,
// since the same token would be refused again.
func (a *Agent) joinWhenTold(ctx context.Context) {
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		err := a.Join(ctx, a.deps.Token, func(step, message string) { a.deps.Log.Info(message, "step", step) })
		if err == nil || ctx.Err() != nil {
			a.joining.Store(nil)
			return
		}
		problem := plan.Problem{
			Code: "join-failed", Severity: plan.Error, Subject: "join.tokenFile",
			Message: "joining with the configured token failed: " + err.Error(), Remedy: "the agent tries again by itself",
		}
		refusal := (*catalog.Refusal)(nil)
		if final := errors.As(err, &refusal) && refusal.Code != siteUnknownCode; final {
			if refusal.Code == alreadyMemberCode {
				return
			}
			problem.Remedy = refusal.Remedy
			a.joining.Store(&problem)
			a.deps.Log.Error(problem.Message, "remedy", problem.Remedy)
			return
		}
		a.joining.Store(&problem)
		a.deps.Log.Warn(problem.Message, "retry", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

package agent

import (
	"context"
	"errors"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	joinPause    = time.Second      // after the first try to join by itself; then doubled
	joinPauseMax = 10 * time.Second // so that a token that comes late is used soon
)

// joinWhenTold joins with the token of the configuration, if this gateway is
// in no federation. It waits for a token that is not there yet, and tries again
// while nobody answers. A token that was refused is not used again, since it
// would be refused again: a new one in its place is.
func (a *Agent) joinWhenTold(ctx context.Context, opened <-chan struct{}) {
	select {
	case <-ctx.Done():
		return
	case <-opened:
	}
	refused := ""
	for pause := joinPause; a.member.Load() == nil; pause = min(2*pause, joinPauseMax) {
		if refused = a.tryToken(ctx, refused); a.member.Load() != nil {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
	if a.joining.Swap(nil) != nil {
		a.published.fire()
	}
}

// tryToken joins with the token there is, unless it is the refused one, and
// returns which is refused now.
func (a *Agent) tryToken(ctx context.Context, refused string) string {
	token, err := a.deps.Token()
	if err != nil {
		a.notJoining(tokenMissing(err))
		return refused
	}
	if token == refused {
		return refused
	}
	err = a.Join(ctx, token, func(step, message string) { a.deps.Log.Info(message, "step", step) })
	problem, final := joinProblem(err)
	if problem != nil {
		a.notJoining(*problem)
	}
	if final {
		return token
	}
	return refused
}

// notJoining shows why in the status, and tells it once.
func (a *Agent) notJoining(p plan.Problem) {
	if before := a.joining.Swap(&p); before != nil && *before == p {
		return
	}
	a.published.fire()
	a.deps.Log.Warn(p.Message, "code", p.Code, "remedy", p.Remedy)
}

func tokenMissing(err error) plan.Problem {
	return plan.Problem{
		Code: "token-missing", Severity: plan.Warning, Subject: "join.tokenFile",
		Message: "waiting for a token to join with: " + err.Error(),
		Remedy:  "write a token of `meshctl token create` there (in Kubernetes: into the Secret that join.tokenSecret names), or join with meshctl",
	}
}

// joinProblem says why joining failed, and whether the token is to blame; nil: it did not.
func joinProblem(err error) (p *plan.Problem, final bool) {
	refusal := (*catalog.Refusal)(nil)
	if err == nil || errors.As(err, &refusal) && refusal.Code == alreadyMemberCode {
		return nil, false
	}
	p = &plan.Problem{
		Code: "join-failed", Severity: plan.Error, Subject: "join.tokenFile",
		Message: "joining with the configured token failed: " + err.Error(), Remedy: "the agent tries again by itself",
	}
	if final = refusal != nil && refusal.Code != siteUnknownCode && refusal.Code != busyCode; final {
		p.Remedy = refusal.Remedy
	}
	return p, final
}

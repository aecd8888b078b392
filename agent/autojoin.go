package agent

import (
	"context"
	"errors"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

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
	a.published.Up()
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
	passing := []string{unreachableCode, siteUnknownCode, commonUnknownCode, claimedCode, busyCode}
	if final = refusal != nil && !slices.Contains(passing, refusal.Code); final {
		p.Remedy = refusal.Remedy
	}
	return p, final
}

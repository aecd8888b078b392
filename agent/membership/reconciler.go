package membership

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/membership/internal/refusals"
	"github.com/meshway/meshway/agent/membership/internal/removal"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/problemlog"
	"github.com/meshway/meshway/agent/registrar"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// reconciler joins, enrols and removes gateways without an operator, and keeps
// the shared state of the datacenter up to date: it gathers a situation, decides
// (decide.go) and executes the decision. One goroutine owns it.
type reconciler struct {
	*Agent
	remote  remoteCalls
	history history
}

// remoteCalls are the requests to other hosts that a decision causes. Tests
// replace them.
type remoteCalls struct {
	publish   func(ctx context.Context, m *running) error
	listed    func(ctx context.Context, shared identity.SharedState) (bool, error)
	enrol     func(ctx context.Context, shared identity.SharedState, request member.JoinRequest, progress member.Progress) error
	removedBy func(ctx context.Context, m *running) []catalog.GatewayID
	propose   func(ctx context.Context, m *running, command *catalogpb.Command) ([]catalog.Result, error)
}

func newReconciler(a *Agent) *reconciler {
	return &reconciler{Agent: a, remote: remoteCalls{
		publish:   a.shared.publish,
		listed:    a.admission.Listed,
		enrol:     a.admission.Enrol,
		removedBy: func(ctx context.Context, m *running) []catalog.GatewayID { return m.member.RemovedBy(ctx) },
		propose: func(ctx context.Context, m *running, command *catalogpb.Command) ([]catalog.Result, error) {
			return m.member.Propose(ctx, command)
		},
	}}
}

func (r *reconciler) run(ctx context.Context) {
	notify.Loop(ctx, r.pass, r.siblingsChanged, r.catalogChanged, r.reconcile.Changed)
}

func (r *reconciler) siblingsChanged() <-chan struct{} {
	if r.cfg.Siblings == nil {
		return nil
	}
	return r.cfg.Siblings.Changed()
}

func (r *reconciler) catalogChanged() <-chan struct{} {
	if m := r.runner.current(); m != nil {
		return m.member.TopologyChanged()
	}
	return nil
}

// pass decides and executes once, and returns the time until the next pass if
// nothing changes before.
func (r *reconciler) pass(ctx context.Context) time.Duration {
	if r.demoted.Load() {
		return 0
	}
	m := r.runner.current()
	s := r.gather(m)
	if m != nil {
		r.followCA(ctx, m, s.shared)
	}
	return r.reconcileIn(ctx, m, s)
}

// reconcileIn decides in situation s, executes the decision, and adds the outcome to
// the history. m is nil outside of a federation.
func (r *reconciler) reconcileIn(ctx context.Context, m *running, s situation) time.Duration {
	var d decision
	d, r.history = decide(r.history, s)
	if s.siblings && (m == nil || s.sharedErr != nil) {
		r.shared.setProblem(s.sharedErr, r.history.stateFailedSince, s.now)
	}
	if m != nil {
		r.setJoinProblem(nil)
		if r.checkRemoval(ctx, m, d) {
			r.reconcile.Notify() // the requests took seconds: the situation is another one
			r.history = r.history.after(outcome{})
			return checkInterval
		}
		o := r.executeInside(ctx, m, s, d.action)
		r.history = r.history.after(o)
		if o.stateWritten {
			r.shared.setProblem(o.stateErr, r.history.stateFailedSince, o.at)
			r.removeAbsent(ctx, m, d.absent)
		}
		return checkInterval
	}
	o, wait := r.executeOutside(ctx, s, d.action), checkInterval
	if o.failed {
		wait = r.history.retryAfter()
	}
	r.history = r.history.after(o)
	return wait
}

// gather reads the situation and changes nothing. m is nil outside of a
// federation.
func (r *reconciler) gather(m *running) situation {
	file := r.cfg.File
	s := situation{now: time.Now(), gateway: file.Gateway, token: r.cfg.Token != nil, siblings: r.cfg.Siblings != nil}
	if s.siblings {
		s.shared, s.sharedErr = r.cfg.Siblings.Current()
	}
	if m == nil {
		s.guards = r.departed.Guards()
		return s
	}
	view := m.member.View()
	in := memberSituation{
		federationID: m.membership.FederationID,
		busy:         r.runner.busy(),
		leader:       m.member.Status().Leader != "",
		cutOff:       m.cutOff(),
	}
	_, in.datacenterListed = view.Datacenter(file.Datacenter)
	_, in.listed = view.Gateway(file.GatewayID())
	if s.siblings {
		in.hosts, in.hostsKnown = r.cfg.Siblings.Gateways()
	}
	for _, g := range view.Gateways() {
		if g.Datacenter == file.Datacenter {
			in.gateways = append(in.gateways, g.Name)
		}
	}
	s.member = &in
	return s
}

// executeOutside executes the decision for a gateway that is in no federation.
func (r *reconciler) executeOutside(ctx context.Context, s situation, do action) outcome {
	switch do {
	case doRetry:
		return outcome{failed: true}
	case doEnrol:
		return outcome{failed: !r.enrol(ctx, s.shared)}
	case doRelease:
		r.followRelease(ctx)
		return outcome{}
	case doJoin:
		refused := r.joinWithToken(ctx)
		return outcome{refusedToken: refused, failed: r.runner.current() == nil}
	default:
		r.setJoinProblem(nil)
		return outcome{}
	}
}

// executeInside executes the decision for a member.
func (r *reconciler) executeInside(ctx context.Context, m *running, s situation, do action) outcome {
	switch do {
	case doDismantle:
		r.followLeave(ctx, m, s.shared.Released)
		return outcome{}
	case doConfirm:
		listed, err := r.remote.listed(ctx, s.shared)
		if err == nil && !listed {
			r.enrolAgain(ctx)
			return outcome{}
		}
		r.reportUndecided(m, err)
	case doPublishState:
	default:
		return outcome{}
	}
	err := r.remote.publish(ctx, m)
	return outcome{stateWritten: true, stateErr: err, at: time.Now()}
}

// removeAbsent removes the gateways that another reading confirms to be absent.
func (r *reconciler) removeAbsent(ctx context.Context, m *running, absent []string) {
	for _, name := range absent {
		if r.confirmAbsent(ctx, name) {
			r.removeGateway(ctx, m, catalog.NewGatewayID(r.cfg.File.Datacenter, name))
		}
	}
}

// enrol makes this gateway one of its datacenter, which is a member. It reports
// whether this gateway is a member then.
func (r *reconciler) enrol(ctx context.Context, shared identity.SharedState) bool {
	if !r.runner.command.TryLock() {
		return false
	}
	defer r.runner.command.Unlock()
	if r.runner.current() != nil {
		return true
	}
	request, err := r.joinRequest(ctx)
	if err == nil {
		err = r.runner.change(ctx, joining, func() error { return r.remote.enrol(ctx, shared, request, r.logStep) })
	}
	if err != nil && ctx.Err() == nil {
		problem := r.enrolProblem(err)
		r.setJoinProblem(&problem)
	}
	return err == nil
}

func (r *reconciler) logStep(step, message string) { r.cfg.Log.Info(message, "step", step) }

func (r *reconciler) enrolProblem(err error) plan.Problem {
	if errors.Is(err, identity.ErrNotMember) {
		return removal.Outside(r.cfg.File.Datacenter, err)
	}
	p := plan.Problem{
		Code:     "enrolment-failed",
		Severity: plan.Error,
		Subject:  "gateway",
		Message:  "this gateway cannot become a member although its datacenter is one: " + err.Error(),
		Remedy:   "the agent tries again automatically",
	}
	if refusal := (*catalog.Refusal)(nil); errors.As(err, &refusal) {
		p.Remedy += "; " + refusal.Remedy
	}
	return p
}

// joinWithToken joins with the configured token unless it would be refused
// again. It returns a token that would be; empty: none.
func (r *reconciler) joinWithToken(ctx context.Context) (refused string) {
	token, err := r.cfg.Token()
	if err != nil {
		problem := tokenMissing(err)
		r.setJoinProblem(&problem)
		return ""
	}
	if token == r.history.refusedToken {
		return token
	}
	problem, final := joinFailure(r.Join(ctx, token, r.logStep))
	if problem != nil {
		r.setJoinProblem(problem)
	}
	if final {
		return token
	}
	return ""
}

func tokenMissing(err error) plan.Problem {
	return plan.Problem{
		Code:     "token-missing",
		Severity: plan.Warning,
		Subject:  "join.tokenFile",
		Message:  "this gateway waits for a token to join with: " + err.Error(),
		Remedy:   "write a token of meshctl token create to that file (in Kubernetes: to the Secret that join.tokenSecret names), or join with meshctl join",
	}
}

// joinFailure returns the problem of a join that failed, and whether the same
// token would fail again; nil if err is nil or the gateway is a member.
func joinFailure(err error) (p *plan.Problem, final bool) {
	refusal := (*catalog.Refusal)(nil)
	if err == nil || errors.As(err, &refusal) && refusal.Code == refusals.CodeAlreadyMember {
		return nil, false
	}
	p = &plan.Problem{
		Code:     "join-failed",
		Severity: plan.Error,
		Subject:  "join.tokenFile",
		Message:  "this gateway failed to join with the configured token: " + err.Error(),
		Remedy:   "the agent tries again automatically",
	}
	temporary := []string{control.CodeUnreachable, refusals.CodeSiteUnknown, refusals.CodeSharedStateUnknown, refusals.CodeLocked, refusals.CodeBusy, consensus.CodeTooManyRequests, consensus.CodeSponsored}
	if final = refusal != nil && !slices.Contains(temporary, refusal.Code); final {
		p.Remedy = refusal.Remedy
	}
	return p, final
}

// setJoinProblem reports in the status why this gateway cannot become a member
// without an operator; nil removes the report.
func (r *reconciler) setJoinProblem(p *plan.Problem) {
	before := r.joinProblem.Swap(p)
	if before == p || before != nil && p != nil && *before == *p {
		return
	}
	r.published.Notify()
	if p != nil {
		problemlog.Write(r.cfg.Log, slog.LevelWarn, *p)
	}
}

// enrolAgain forgets a membership that has ended while that of the datacenter
// goes on; the next pass enrols. Tunnels and routes stay meanwhile.
func (r *reconciler) enrolAgain(ctx context.Context) {
	if !r.runner.command.TryLock() {
		return
	}
	defer r.runner.command.Unlock()
	r.cfg.Log.Warn("this gateway was removed from the catalog; it enrols again")
	if err := r.runner.change(ctx, leaving, r.admission.Forget); err != nil {
		r.cfg.Log.Error("failed to remove the stored membership, which has ended", "err", err)
	}
}

// followLeave cleans up this host after another gateway of the datacenter has
// left the federation for all of them.
func (r *reconciler) followLeave(ctx context.Context, m *running, release bool) {
	left, planned := m.leaving(time.Now())
	if !planned || !r.runner.command.TryLock() {
		return
	}
	defer r.runner.command.Unlock()
	r.cfg.Log.Info("the datacenter has left its federation")
	if err := r.dismantle(ctx, left, release, func(string, string) {}); err != nil {
		r.cfg.Log.Error("failed to clean up after leaving the federation", "err", err)
	}
}

// followRelease ends the guard of this host after another gateway of the datacenter has
// released it for all of them.
func (r *reconciler) followRelease(ctx context.Context) {
	if !r.runner.command.TryLock() {
		return
	}
	defer r.runner.command.Unlock()
	if err := r.release(ctx, r.logStep); err != nil {
		r.cfg.Log.Error("failed to remove what drops packets to the federation that was left", "err", err)
	}
}

// confirmAbsent reads the gateway hosts once more: what was observed may be old.
func (r *reconciler) confirmAbsent(ctx context.Context, name string) bool {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	hosts, err := r.cfg.Siblings.ReadGateways(ctx)
	return err == nil && slices.Contains(hosts, r.cfg.File.Gateway) && !slices.Contains(hosts, name)
}

// removeGateway removes a gateway of this datacenter whose host is no longer a
// gateway and could not remove itself.
func (r *reconciler) removeGateway(ctx context.Context, m *running, id catalog.GatewayID) {
	ctx, cancel := context.WithTimeout(ctx, registrar.ProposeTimeout)
	defer cancel()
	results, err := r.remote.propose(ctx, m, catalog.NewRemoveGateway(id))
	switch {
	case err != nil:
		r.cfg.Log.Debug("failed to remove a gateway whose host is no longer a gateway", "gateway", id, "err", err)
	case results[0].Refusal == nil:
		r.cfg.Log.Info("removed a gateway whose host is no longer a gateway", "gateway", id)
	case results[0].Refusal.Code != catalog.CodeUnknownGateway:
		r.cfg.Log.Warn("failed to remove a gateway whose host is no longer a gateway", "gateway", id, "err", results[0].Refusal)
	}
}

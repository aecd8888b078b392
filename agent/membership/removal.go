package membership

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/membership/internal/removal"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/problemlog"
	"github.com/meshway/meshway/agent/suggest"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// RemovedDatacenter is what RemoveDatacenter removed from the catalog.
type RemovedDatacenter struct {
	Datacenter catalog.Datacenter
	Gateways   []catalog.GatewayID
	Index      uint64 // of the removal
}

// RemoveDatacenter removes another datacenter from the federation, which is
// permanently lost: its name and prefixes become free and its CA is no longer
// trusted. Without force it is refused while the leader receives messages from the
// datacenter. A refusal is a *catalog.Refusal and changes nothing.
func (a *Agent) RemoveDatacenter(ctx context.Context, name catalog.DatacenterName, force bool) (RemovedDatacenter, error) {
	r := a.runner.current()
	if r == nil {
		return RemovedDatacenter{}, a.notMember()
	}
	view := r.member.View()
	var gateways []catalog.GatewayID
	for _, g := range view.Gateways() {
		if g.Datacenter == name {
			gateways = append(gateways, g.ID())
		}
	}
	results, err := r.member.Propose(ctx, catalog.NewRemoveDatacenter(name, force))
	if errors.Is(err, consensus.ErrNoLeader) {
		self := a.cfg.File.GatewayID()
		l := r.leadership(self, judgePeers(r.member.Status(), self, r.gateway.Sessions()), a.startedAt)
		l.Lost = true
		for _, p := range l.Problems() {
			err = fmt.Errorf("%w; %s", err, p.Remedy)
		}
		return RemovedDatacenter{}, fmt.Errorf("remove datacenter %s: %w", name, err)
	}
	if err != nil {
		return RemovedDatacenter{}, fmt.Errorf("remove datacenter %s: %w", name, err)
	}
	if refusal := results[0].Refusal; refusal != nil {
		return RemovedDatacenter{}, a.suggestDatacenter(refusal, name, view)
	}
	a.cfg.Log.Info("removed a datacenter from the federation", "datacenter", name, "force", force)
	removed := results[0].Datacenter
	if removed.Name == "" { // the result of a retry has no record of what is gone
		removed, _ = view.Datacenter(name)
	}
	return RemovedDatacenter{Datacenter: removed, Gateways: gateways, Index: results[0].Index}, nil
}

// suggestDatacenter adds similar names to the refusal of an unknown datacenter.
func (a *Agent) suggestDatacenter(refusal *catalog.Refusal, name catalog.DatacenterName, view *replica.View) *catalog.Refusal {
	if refusal.Code != catalog.CodeUnknownDatacenter {
		return refusal
	}
	var names []string
	for _, dc := range view.Datacenters() {
		if dc.Name != a.cfg.File.Datacenter {
			names = append(names, string(dc.Name))
		}
	}
	better := *refusal
	if similar := suggest.Similar(string(name), names); len(similar) > 0 {
		better.Remedy = "did you mean " + strings.Join(similar, " or ") + "? " + refusal.Remedy
	}
	return &better
}

// checkRemoval checks with other datacenters whether this one was removed while
// it was cut off: a datacenter that was removed is not notified. It changes only
// the status: to forget a membership is left to an operator. It reports whether it
// sent requests.
func (r *reconciler) checkRemoval(ctx context.Context, m *running, d decision) bool {
	if d.connected && m.removed.Swap(nil) != nil {
		r.published.Notify()
	}
	if !d.checkRemoval {
		return false
	}
	by := r.remote.removedBy(ctx, m)
	if len(by) == 0 {
		return true // too few gateways answer: an earlier answer stays valid until this datacenter is connected again
	}
	r.setRemoved(m, removal.OfDatacenter(m.membership, r.cfg.File.Datacenter, by))
	return true
}

// setRemoved reports in the status that the federation removed the datacenter, or this
// gateway.
func (r *reconciler) setRemoved(m *running, problem plan.Problem) {
	if before := m.removed.Swap(&problem); before == nil || before.Code != problem.Code {
		problemlog.Write(r.cfg.Log, slog.LevelError, problem)
	}
	r.published.Notify()
}

// reportUndecided reports in the status that this gateway was removed, according to
// others, which are too few to delete its copy of the catalog without an operator. err is
// why the requests decided nothing; nil: the catalog has this gateway.
func (r *reconciler) reportUndecided(m *running, err error) {
	undecided, ok := errors.AsType[*member.UndecidedError](err)
	if ok && undecided.Confirmed == 0 && len(undecided.Denied) > 0 {
		r.setRemoved(m, removal.OfGateway(m.membership, r.cfg.File.GatewayID(), *undecided))
		return
	}
	answered := err == nil || ok && undecided.Confirmed > 0
	if p := m.removed.Load(); answered && p != nil && p.Code == removal.CodeGateway && m.removed.CompareAndSwap(p, nil) {
		r.published.Notify()
	}
}

// cutOff reports whether this gateway has no leader, or no tunnel that is up: a
// datacenter of many voters may have a leader of its own.
func (r *running) cutOff() bool {
	if r.member.Status().Leader == "" {
		return true
	}
	sessions := r.gateway.Sessions()
	return len(sessions) > 0 && !slices.ContainsFunc(sessions, func(s plan.Session) bool { return s.Up })
}

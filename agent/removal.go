package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/suggest"
	"github.com/meshway/meshway/consensus/catalog"
)

// expelledRetry is how often one that is cut off asks again whether it was removed.
const expelledRetry = time.Minute

// RemovedDatacenter is what a removal took out of the catalog.
type RemovedDatacenter struct {
	Datacenter catalog.Datacenter
	Gateways   []catalog.GatewayID
	Index      uint64 // at which it was decided
}

// RemoveDatacenter takes another datacenter out of the federation, one that is
// gone for good: its name and prefixes are free and its CA is trusted no more.
// With force also one that the catalog's leader hears. A refusal is a
// *catalog.Refusal and changes nothing.
func (a *Agent) RemoveDatacenter(ctx context.Context, name catalog.DatacenterName, force bool) (RemovedDatacenter, error) {
	m := a.member.Load()
	if m == nil {
		return RemovedDatacenter{}, notMember()
	}
	view := m.federation.View()
	var gateways []catalog.GatewayID
	for _, g := range view.Gateways() {
		if g.Datacenter == name {
			gateways = append(gateways, g.ID())
		}
	}
	results, err := m.federation.Propose(ctx, catalog.NewRemoveDatacenter(name, force))
	if errors.Is(err, ErrNoLeader) {
		return RemovedDatacenter{}, fmt.Errorf("remove datacenter %s: %w; if the voters were lost with it, "+
			"first make those that are left decide: meshctl raft recover (meshd recover)", name, err)
	}
	if err != nil {
		return RemovedDatacenter{}, fmt.Errorf("remove datacenter %s: %w", name, err)
	}
	if refusal := results[0].Refusal; refusal != nil {
		return RemovedDatacenter{}, a.explainRemoval(refusal, name, view)
	}
	a.deps.Log.Info("datacenter removed from the federation", "datacenter", name, "by", a.self, "force", force)
	return RemovedDatacenter{Datacenter: results[0].Datacenter, Gateways: gateways, Index: results[0].Index}, nil
}

// explainRemoval names the datacenter that may have been meant.
func (a *Agent) explainRemoval(refusal *catalog.Refusal, name catalog.DatacenterName, view *catalog.View) *catalog.Refusal {
	if refusal.Code != catalog.CodeUnknownDatacenter {
		return refusal
	}
	var names []string
	for _, dc := range view.Datacenters() {
		if dc.Name != a.deps.Config.Datacenter {
			names = append(names, string(dc.Name))
		}
	}
	better := *refusal
	if near := suggest.Similar(string(name), names); len(near) > 0 {
		better.Remedy = "did you mean " + strings.Join(near, " or ") + "? " + refusal.Remedy
	}
	return &better
}

// lookForExpulsion asks whether this datacenter was removed while it was away: who
// is removed is not told. It asks after a silence only, and changes nothing but
// the status: to forget a membership is for an operator to decide.
func (t *tender) lookForExpulsion(ctx context.Context, m *member) {
	now := time.Now()
	switch {
	case !m.cutOff():
		t.alone = time.Time{}
		t.nothingExpels(m)
		return
	case t.alone.IsZero():
		t.alone, t.asked = now, time.Time{}
	}
	if now.Sub(t.alone) < silenceGrace || now.Sub(t.asked) < expelledRetry {
		return
	}
	t.asked = now
	by := m.federation.Expelled(ctx)
	if by == "" {
		return // nobody answers: what was said before holds until it is cut off no more
	}
	problem := expelled(m.Membership, t.deps.Config.Datacenter, by)
	if before := m.expelled.Swap(&problem); before == nil {
		t.deps.Log.Error(problem.Message, "code", problem.Code, "remedy", problem.Remedy)
	}
	t.published.Up()
}

func (a *Agent) nothingExpels(m *member) {
	if m.expelled.Swap(nil) != nil {
		a.published.Up()
	}
}

// cutOff tells whether this gateway hears no leader, or nobody through any tunnel:
// a datacenter of many votes may have a leader of its own.
func (m *member) cutOff() bool {
	if m.federation.Consensus().Leader == "" {
		return true
	}
	sessions := m.loop.liveness.Sessions()
	for _, s := range sessions {
		if s.Up {
			return false
		}
	}
	return len(sessions) > 0
}

func expelled(m Membership, dc catalog.DatacenterName, by catalog.GatewayID) plan.Problem {
	return plan.Problem{
		Code: "removed", Severity: plan.Error, Subject: fmt.Sprintf("datacenter %s", dc),
		Message: fmt.Sprintf("this datacenter was removed from federation %s, as %s says: the others trust it no more, and its name and prefixes may be taken",
			m.FederationName, by),
		Remedy: "run meshctl leave --force here, then join again with a token of another datacenter (meshctl token create over there)",
	}
}

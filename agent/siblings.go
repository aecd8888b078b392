package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
)

// errForeign says that the other gateways are members of something else.
var errForeign = errors.New("the other gateways of this datacenter are of another federation or have another CA")

// keepUp compares a member with what the gateways have in common.
func (t *tender) keepUp(ctx context.Context, m *member) {
	common, err := t.deps.Siblings.Current()
	if err != nil {
		t.worryAbout(err)
		return
	}
	own := common.claimedBy(t.deps.Config.Gateway)
	switch {
	case own && t.busy():
		return
	case common.Left == m.FederationID && !own:
		t.departed(ctx)
		return
	case common.claimedByOther(t.deps.Config.Gateway, time.Now()):
		return // perhaps it takes the datacenter out, and this gateway with it
	case t.removed(ctx, m, common):
		t.rejoin(ctx)
		return
	}
	t.worryAbout(t.share(ctx, m))
	t.reap(ctx, m)
}

// busy tells whether an operator's command is under way here.
func (t *tender) busy() bool {
	if !t.lifecycle.TryLock() {
		return true
	}
	t.lifecycle.Unlock()
	return false
}

// share writes what the catalog says now. Only a copy that a leader vouches for
// counts: one that is behind would undo what others wrote.
func (a *Agent) share(ctx context.Context, m *member) error {
	have, err := a.deps.Siblings.Current()
	if err != nil {
		return err
	}
	if s := have.Standing; s != nil && s.FederationID != m.FederationID || len(have.Key) > 0 && !sameCA(a, have) {
		return errForeign
	}
	if want, ok, err := m.federation.Common(); err != nil || !ok || have.Same(inVersion(have, want)) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	if _, _, err := m.federation.Read(ctx, LeaseRead); err != nil {
		return nil //nolint:nilerr // without a leader nothing is written; the status says so itself
	}
	want, ok, err := m.federation.Common()
	if err != nil || !ok {
		return err
	}
	want = inVersion(have, want)
	if have.Same(want) {
		return nil
	}
	if err := a.deps.Siblings.Save(ctx, want); err != nil && !errors.Is(err, ErrOutdated) {
		return err
	}
	return nil // another gateway wrote: the next look compares with that
}

// inVersion keeps of have what the catalog does not say.
func inVersion(have, want Common) Common {
	want.Version = have.Version
	if len(have.Certificate) > 0 {
		want.Certificate = have.Certificate // it may have been signed again with the same key
	}
	return want
}

func sameCA(a *Agent, have Common) bool {
	_, key, err := a.deps.Federations.Authority()
	return err == nil && bytes.Equal(key, have.Key)
}

// worryAbout tells what does not pass.
func (t *tender) worryAbout(err error) {
	if err == nil {
		t.worry = time.Time{}
		t.sharing.Store(nil)
		return
	}
	if t.worry.IsZero() {
		t.worry = time.Now()
	}
	if !errors.Is(err, errForeign) && time.Since(t.worry) < worryGrace {
		return
	}
	problem := plan.Problem{
		Code: "siblings-unknown", Severity: plan.Warning, Subject: "kubernetes.identitySecret",
		Message: "this gateway cannot keep in step with others of its datacenter: " + err.Error(),
		Remedy:  "traffic goes on; check that the API server is reachable, that the chart's Secret exists and that the service account may get, watch and update it",
	}
	if errors.Is(err, errForeign) {
		problem.Code, problem.Severity = "siblings-differ", plan.Error
		problem.Remedy = "run meshctl leave --force on the gateways that are of the wrong one"
	}
	if before := t.sharing.Swap(&problem); before == nil || *before != problem {
		t.deps.Log.Warn(problem.Message, "code", problem.Code, "remedy", problem.Remedy)
	}
	t.published.Up()
}

// removed tells whether the others have taken this gateway out of the catalog.
// Who is removed hears nothing of it, so it asks after a silence.
func (t *tender) removed(ctx context.Context, m *member, common Common) bool {
	view := m.federation.View()
	_, datacenter := view.Datacenter(t.deps.Config.Datacenter)
	_, listed := view.Gateway(t.self)
	if m.federation.Consensus().Leader != "" && (listed || !datacenter) {
		t.silent = time.Time{}
		return false
	}
	if t.silent.IsZero() {
		t.silent = time.Now()
	}
	waited := time.Since(t.silent) >= silenceGrace || datacenter && !listed
	if !waited || common.Standing == nil || common.Standing.FederationID != m.FederationID {
		return false
	}
	known, err := t.deps.Federations.Known(ctx, common)
	return err == nil && !known
}

// rejoin forgets a membership that has ended without the datacenter's; the next
// look enrols anew. Tunnels and routes stay meanwhile.
func (t *tender) rejoin(ctx context.Context) {
	if !t.lifecycle.TryLock() {
		return
	}
	defer t.lifecycle.Unlock()
	t.deps.Log.Warn("this gateway was removed from the catalog; it enrols again")
	if err := t.change(ctx, status.Leaving, t.deps.Federations.Forget); err != nil {
		t.deps.Log.Error("the membership that has ended cannot be forgotten", "err", err)
	}
}

// departed follows a leave that was made on another gateway.
func (t *tender) departed(ctx context.Context) {
	if !t.lifecycle.TryLock() {
		return
	}
	defer t.lifecycle.Unlock()
	t.deps.Log.Info("the datacenter has left its federation")
	if err := t.dismantle(ctx, func(string, string) {}); err != nil {
		t.deps.Log.Error("what was made for the federation cannot be removed", "err", err)
	}
}

// reap removes gateways of this datacenter whose hosts are none any more and did
// not say so themselves.
func (t *tender) reap(ctx context.Context, m *member) {
	hosts, known := t.deps.Siblings.Gateways()
	if !known || !slices.Contains(hosts, t.deps.Config.Gateway) {
		clear(t.gone) // only what is seen all the time counts
		return
	}
	gone := map[string]time.Time{}
	for _, g := range m.federation.View().Gateways() {
		if g.Datacenter != t.deps.Config.Datacenter || slices.Contains(hosts, g.Name) {
			continue
		}
		since, before := t.gone[g.Name]
		if !before {
			since = time.Now()
		}
		gone[g.Name] = since
		if time.Since(since) >= goneGrace && t.surelyGone(ctx, g.Name) {
			t.remove(ctx, m, g.ID())
		}
	}
	t.gone = gone
}

// surelyGone asks once more: what was heard of may be old.
func (t *tender) surelyGone(ctx context.Context, name string) bool {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	hosts, err := t.deps.Siblings.Ask(ctx)
	return err == nil && slices.Contains(hosts, t.deps.Config.Gateway) && !slices.Contains(hosts, name)
}

func (t *tender) remove(ctx context.Context, m *member, id catalog.GatewayID) {
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	results, err := m.federation.Propose(ctx, catalog.NewRemoveGateway(id))
	switch {
	case err != nil:
		t.deps.Log.Debug("a gateway that is gone cannot be removed yet", "peer", id, "err", err)
	case results[0].Refusal == nil:
		t.deps.Log.Info("gateway removed: its host is no gateway any more", "peer", id)
	case results[0].Refusal.Code != catalog.CodeUnknownGateway:
		t.deps.Log.Warn("a gateway that is gone cannot be removed", "peer", id, "err", results[0].Refusal)
	}
}

// Retire takes this gateway out of its datacenter because its host shall be none
// any more, and forgets its membership; tunnels and routes stay. The last gateway
// of a datacenter keeps its membership on disk, for when it is called again.
func (a *Agent) Retire(ctx context.Context) error {
	a.retired.Store(true)
	if !a.lifecycle.TryLock() {
		return busy()
	}
	defer a.lifecycle.Unlock()
	m := a.member.Load()
	if m == nil {
		return nil
	}
	results, err := m.federation.Propose(ctx, catalog.NewRemoveGateway(a.self))
	if err != nil {
		return fmt.Errorf("remove this gateway from the catalog: %w", err)
	}
	if r := results[0].Refusal; r != nil && r.Code == catalog.CodeLastGateway {
		a.deps.Log.Warn("this was the last gateway of its datacenter: its membership is kept on disk", "datacenter", a.deps.Config.Datacenter)
		return nil
	} else if r != nil {
		return r
	}
	if err := m.federation.Withdraw(ctx); err != nil {
		a.deps.Log.Warn("the catalog's duties could not be handed over", "err", err)
	}
	return a.change(ctx, status.Leaving, a.deps.Federations.Forget)
}

// Settled tells whether the datacenter is in a federation, be it that this
// gateway is not.
func (a *Agent) Settled() bool {
	if a.deps.Siblings == nil {
		return a.member.Load() != nil
	}
	common, err := a.deps.Siblings.Current()
	return err != nil || common.Standing != nil
}

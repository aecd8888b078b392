package membership

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// drainBound is how long a drain waits for traffic to end.
const drainBound = 30 * time.Second

// DrainRequest describes a drain.
type DrainRequest struct {
	Force bool          // also if the datacenter has no other gateway in use
	For   time.Duration // after which the drain ends; 0: it has no end
	Bound time.Duration // how long to wait for traffic to end; 0: 30 s
}

// Drain takes this gateway out of use: other gateways carry its traffic, that of
// other datacenters and that of the nodes of its own. It returns when no more
// traffic arrives, or after a bound. Traffic that still arrives is forwarded. A
// drain outlives the agent; Undrain ends it.
func (a *Agent) Drain(ctx context.Context, request DrainRequest, progress member.Progress) error {
	r := a.runner.current()
	if r == nil {
		return a.notMember()
	}
	if err := a.beginDrain(ctx, r, request); err != nil {
		return err
	}
	progress("told", "other gateways and the nodes stop sending to this gateway")
	if r.member.Status().Role == "leader" {
		if err := r.member.StepDown(ctx); err != nil {
			a.cfg.Log.Warn("failed to transfer the leadership from a drained gateway", "err", err)
		}
	}
	return a.awaitDrain(ctx, cmp.Or(request.Bound, drainBound), progress)
}

// beginDrain begins the drain unless that leaves no gateway in use.
func (a *Agent) beginDrain(ctx context.Context, r *running, request DrainRequest) error {
	check := !a.drain.On(time.Now()) && !request.Force
	view := r.member.View()
	former, ok := view.Gateway(a.cfg.File.GatewayID())
	if !ok {
		former = catalog.Gateway{Datacenter: a.cfg.File.Datacenter, Name: a.cfg.File.Gateway}
	}
	if check {
		if err := mayDrain(view.Gateways(), unwritten(former)); err != nil {
			return err
		}
	}
	var until time.Time
	if request.For > 0 {
		until = time.Now().Add(request.For)
	}
	if err := a.drain.Begin(until); err != nil {
		return err
	}
	if check {
		if err := awaitDrainRecord(ctx, r.member, former); err != nil {
			return errors.Join(err, a.Undrain())
		}
	}
	return nil
}

func (a *Agent) awaitDrain(ctx context.Context, bound time.Duration, progress member.Progress) error {
	step, err := a.drain.Await(ctx, bound)
	if err != nil {
		return err
	}
	switch step {
	case plan.Drained:
		progress("quiet", "no more traffic arrives at this gateway")
	case plan.Draining:
		progress("not-quiet", fmt.Sprintf("packets still arrive after %s; they are forwarded", bound))
	case plan.Active:
		return &catalog.Refusal{
			Code:    "undrained",
			Message: "this gateway was taken back into use before the drain was complete",
			Remedy:  "run meshctl drain again, with a longer --for if its time had elapsed",
		}
	}
	return nil
}

// Undrain takes this gateway back into use. It is idempotent.
func (a *Agent) Undrain() error {
	if a.runner.current() == nil {
		return a.notMember()
	}
	return a.drain.End()
}

// mayDrain returns a refusal if own is the last gateway of its datacenter that
// is in use, among all that the catalog has. Gateways whose drain was recorded
// after own yield or were forced; of two that were recorded in one entry, the
// one with the greater id yields.
func mayDrain(all []catalog.Gateway, own catalog.Gateway) error {
	drained := false
	for _, g := range all {
		if g.ID() == own.ID() || g.Datacenter != own.Datacenter {
			continue
		}
		if !g.Draining || cmp.Or(cmp.Compare(g.ModifiedIndex, own.ModifiedIndex), cmp.Compare(g.ID(), own.ID())) > 0 {
			return nil
		}
		drained = true
	}
	if drained {
		return &catalog.Refusal{
			Code:    "siblings-drained",
			Message: fmt.Sprintf("all other gateways of datacenter %s are drained", own.Datacenter),
			Remedy:  "run meshctl undrain on one of them first, or use --force; traffic then keeps flowing through these gateways because there is no other path",
		}
	}
	return &catalog.Refusal{
		Code:    "last-gateway",
		Message: fmt.Sprintf("this is the only gateway of datacenter %s", own.Datacenter),
		Remedy:  "make another node a gateway first, or use --force; traffic then keeps flowing through this gateway because there is no other path",
	}
}

// awaitDrainRecord waits until the drain is recorded in the catalog, and returns
// a refusal if the drain of another gateway was recorded before it and none is
// left in use. former is the record before this drain: an equal or older one
// belongs to an earlier drain. Without a leader nothing is recorded; then the
// drains that are recorded count as earlier.
func awaitDrainRecord(ctx context.Context, m *member.Member, former catalog.Gateway) error {
	timeout := time.After(dataplane.DrainPropagation)
	for {
		changed := m.Changed()
		view := m.View()
		own, _ := view.Gateway(former.ID())
		if own.Draining && own.ModifiedIndex > former.ModifiedIndex {
			return mayDrain(view.Gateways(), own)
		}
		select {
		case <-ctx.Done():
			return nil // the caller waits with the same ctx next
		case <-timeout:
			return mayDrain(view.Gateways(), unwritten(former))
		case <-changed:
		}
	}
}

// unwritten returns g as if it were recorded after all others.
func unwritten(g catalog.Gateway) catalog.Gateway {
	g.ModifiedIndex = math.MaxUint64
	return g
}

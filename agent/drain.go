package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/wake"
	"github.com/meshway/meshway/consensus/catalog"
)

// drainBound is how long a drain waits for traffic to end.
const drainBound = 30 * time.Second

// DrainRequest says how a gateway is taken out of use.
type DrainRequest struct {
	Force bool          // also when its datacenter has no other gateway
	For   time.Duration // after which it comes back by itself; 0: never
	Bound time.Duration // how long to wait for traffic to end; 0: 30 s
}

// Drain takes this gateway out of use: other gateways, of other datacenters
// and by the nodes of its own, carry its traffic. It returns when nothing more
// arrives here, or after a bound. What still arrives is sent on. A drain
// outlives the agent; Undrain ends it.
func (a *Agent) Drain(ctx context.Context, r DrainRequest, progress Progress) error {
	m := a.member.Load()
	if m == nil {
		return notMember()
	}
	if err := a.beginDrain(ctx, m, r); err != nil {
		return err
	}
	progress("told", "other gateways and the nodes are told to send nothing more here")
	if m.federation.Consensus().Role == "leader" {
		if err := m.federation.TransferLeader(ctx, ""); err != nil {
			a.deps.Log.Warn("a drained gateway still leads the catalog", "err", err)
		}
	}
	return a.awaitDrain(ctx, cmp.Or(r.Bound, drainBound), progress)
}

// beginDrain makes it known, unless that leaves no gateway in use.
func (a *Agent) beginDrain(ctx context.Context, m *member, r DrainRequest) error {
	step, _ := a.drain.at(time.Now())
	asks := step == plan.Active && !r.Force
	view := m.federation.View()
	former, ok := view.Gateway(a.self)
	if !ok {
		former = catalog.Gateway{Datacenter: a.deps.Config.Datacenter, Name: a.deps.Config.Gateway}
	}
	if asks {
		if err := mayDrain(view.Gateways(), unwritten(former)); err != nil {
			return err
		}
	}
	var until time.Time
	if r.For > 0 {
		until = time.Now().Add(r.For)
	}
	if err := a.drain.begin(until); err != nil {
		return err
	}
	m.loop.wake.Up()
	if asks {
		if err := m.yields(ctx, former); err != nil {
			return errors.Join(err, a.Undrain())
		}
	}
	return nil
}

func (a *Agent) awaitDrain(ctx context.Context, bound time.Duration, progress Progress) error {
	step, err := a.drain.await(ctx, bound)
	if err != nil {
		return err
	}
	switch step {
	case plan.Drained:
		progress("quiet", "nothing arrives here any more")
	case plan.Draining:
		progress("not-quiet", fmt.Sprintf("packets still arrive after %s; they are sent on", bound))
	case plan.Active:
		return &catalog.Refusal{
			Code: "undrained", Message: "this gateway was taken back into use meanwhile",
			Remedy: "run meshctl drain again, with a longer --for if its time was over",
		}
	}
	return nil
}

// Undrain takes this gateway back into use; one that is in use stays so.
func (a *Agent) Undrain() error {
	m := a.member.Load()
	if m == nil {
		return notMember()
	}
	if err := a.drain.end(); err != nil {
		return err
	}
	m.loop.wake.Up()
	return nil
}

// mayDrain refuses to drain the last gateway of its datacenter that is in use, of
// all that the catalog knows. Those whose record is after own yield, or were forced;
// of two records that were written in one entry, that of the greater id.
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
	refusal := &catalog.Refusal{
		Code: "last-gateway", Message: fmt.Sprintf("this is the only gateway of datacenter %s", own.Datacenter),
		Remedy: "make another node a gateway first; or give --force: then its traffic still passes here, for want of another way",
	}
	if drained {
		refusal.Code, refusal.Message = "siblings-drained", fmt.Sprintf("all other gateways of datacenter %s are drained", own.Datacenter)
		refusal.Remedy = "run meshctl undrain on one of them first; or give --force: then their traffic still passes, for want of another way"
	}
	return refusal
}

// yields refuses to be drained if another gateway was drained at the same time, and
// sooner: who reads its own record in the catalog reads those before it too.
// A record up to that of former is of an earlier drain, whose end is not known here
// yet. Without a leader it is not written, and whoever's is there is the sooner one.
func (m *member) yields(ctx context.Context, former catalog.Gateway) error {
	over := time.After(drainSettle)
	for {
		changed := m.federation.Changed()
		view := m.federation.View()
		own, _ := view.Gateway(former.ID())
		if own.Draining && own.ModifiedIndex > former.ModifiedIndex {
			return mayDrain(view.Gateways(), own)
		}
		select {
		case <-ctx.Done():
			return nil // whoever waits next sees to that
		case <-over:
			return mayDrain(view.Gateways(), unwritten(former))
		case <-changed:
		}
	}
}

// unwritten is a gateway whose record will come after all others.
func unwritten(g catalog.Gateway) catalog.Gateway {
	g.ModifiedIndex = math.MaxUint64
	return g
}

// drain is whether this gateway is out of use.
type drain struct {
	disk Drains // nil: it is forgotten when the agent ends

	news  wake.All   // of all following fields
	mu    sync.Mutex // guards them
	step  plan.Drain
	until time.Time // zero: until it is ended
}

// load takes up what an earlier agent left. Whether anything still arrives is to
// be seen anew.
func (d *drain) load() error {
	if d.disk == nil {
		return nil
	}
	until, drained, err := d.disk.Load()
	if err != nil || !drained {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.step, d.until = plan.Draining, until
	return nil
}

func (d *drain) begin(until time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.disk != nil {
		if err := d.disk.Save(until); err != nil {
			return err
		}
	}
	d.step, d.until = max(d.step, plan.Draining), until
	d.news.Up()
	return nil
}

// finish notes that nothing arrives any more, unless the drain has ended meanwhile.
func (d *drain) finish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.step == plan.Draining {
		d.step = plan.Drained
		d.news.Up()
	}
}

func (d *drain) end() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.disk != nil {
		if err := d.disk.Clear(); err != nil {
			return err
		}
	}
	d.step, d.until = plan.Active, time.Time{}
	d.news.Up()
	return nil
}

// at returns how far the drain is, and for how long that holds at most; 0: for ever.
func (d *drain) at(now time.Time) (plan.Drain, time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.step == plan.Active || d.until.IsZero() {
		return d.step, 0
	}
	if !now.Before(d.until) {
		return plan.Active, 0 // what is on disk has ended too
	}
	return d.step, d.until.Sub(now)
}

// await waits until a drain has come to an end, and returns how far it has come
// then or when the time is over.
func (d *drain) await(ctx context.Context, bound time.Duration) (plan.Drain, error) {
	over := time.After(bound)
	for {
		changed := d.news.Changed()
		step, _ := d.at(time.Now())
		if step != plan.Draining {
			return step, nil
		}
		select {
		case <-ctx.Done():
			return step, ctx.Err()
		case <-over:
			return step, nil
		case <-changed:
		}
	}
}

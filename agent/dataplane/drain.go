package dataplane

import (
	"context"
	"sync"
	"time"

	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
)

// StoredDrain is the content of the file that exists while a gateway is drained.
type StoredDrain struct {
	Until time.Time `json:"until,omitzero"` // zero: until it is ended
}

// DrainStore keeps a drain over restarts.
type DrainStore interface {
	Load() (drain StoredDrain, found bool, err error)
	Save(drain StoredDrain) error
	Remove() error // no error if none is stored
}

// Drain is the drain state of one gateway: whether other gateways carry its
// traffic.
type Drain struct {
	store DrainStore // nil: a drain ends with the agent

	changed notify.Broadcast
	mu      sync.Mutex // guards all following
	step    plan.Drain
	until   time.Time // zero: until it is ended
}

// NewDrain returns the state of a gateway that is in use. A nil store keeps
// nothing.
func NewDrain(store DrainStore) *Drain { return &Drain{store: store} }

// Load takes over a drain that an earlier agent began. Whether packets still
// arrive is determined again.
func (d *Drain) Load() error {
	if d.store == nil {
		return nil
	}
	stored, drained, err := d.store.Load()
	if err != nil || !drained {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.step, d.until = plan.Draining, stored.Until
	return nil
}

// Begin drains the gateway until a time; zero: until End.
func (d *Drain) Begin(until time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.store != nil {
		if err := d.store.Save(StoredDrain{Until: until}); err != nil {
			return err
		}
	}
	step, _ := d.at(time.Now()) // one that has ended by time starts over
	d.step, d.until = max(step, plan.Draining), until
	d.changed.Notify()
	return nil
}

// End takes the gateway back into use. It is idempotent.
func (d *Drain) End() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.store != nil {
		if err := d.store.Remove(); err != nil {
			return err
		}
	}
	d.step, d.until = plan.Active, time.Time{}
	d.changed.Notify()
	return nil
}

// finish records that no more traffic arrives, unless the drain has ended.
func (d *Drain) finish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if step, _ := d.at(time.Now()); step == plan.Draining {
		d.step = plan.Drained
		d.changed.Notify()
	}
}

// At returns the state at a time, and for how long it holds at most; 0: it has
// no end.
func (d *Drain) At(now time.Time) (plan.Drain, time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at(now)
}

// at is At with mu held.
func (d *Drain) at(now time.Time) (plan.Drain, time.Duration) {
	if d.step == plan.Active || d.until.IsZero() {
		return d.step, 0
	}
	if !now.Before(d.until) {
		return plan.Active, 0 // what is stored has ended too
	}
	return d.step, d.until.Sub(now)
}

// On reports whether the gateway is drained, or being drained, at a time.
func (d *Drain) On(now time.Time) bool {
	step, _ := d.At(now)
	return step != plan.Active
}

// Changed returns a channel that is closed at the next change of the state,
// other than by the passing of time.
func (d *Drain) Changed() <-chan struct{} { return d.changed.Changed() }

// Await waits until the gateway is no longer being drained, because no more
// traffic arrives or because the drain has ended, or for bound, and returns the
// state then.
func (d *Drain) Await(ctx context.Context, bound time.Duration) (plan.Drain, error) {
	limit := time.Now().Add(bound)
	for {
		changed, now := d.Changed(), time.Now()
		step, left := d.At(now)
		wait := limit.Sub(now)
		if step != plan.Draining || wait <= 0 {
			return step, nil
		}
		if left > 0 {
			wait = min(wait, left)
		}
		select {
		case <-ctx.Done():
			return step, ctx.Err()
		case <-time.After(wait):
		case <-changed:
		}
	}
}

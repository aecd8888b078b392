package membership

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/registrar"
	"github.com/meshway/meshway/agent/status"
)

// running is a membership that runs.
type running struct {
	membership identity.Membership
	member     *member.Member
	gateway    *dataplane.Gateway
	registrar  *registrar.Registrar
	leaving    func(time.Time) (plan.Left, bool) // of gateway
	removed    atomic.Pointer[plan.Problem]      // set once the federation is known to have removed the datacenter
}

// run takes part in the federation until ctx ends. It stops in the reverse
// order of the start: the data plane first, so that it never waits for a
// catalog that has stopped. If another host runs this gateway, tunnels of this one would
// take its packets.
func (r *running) run(ctx context.Context) error {
	err := r.member.RefuseCopy(ctx)
	if err == nil {
		err = r.runParts(ctx)
	}
	if _, isCopy := errors.AsType[*member.CopyError](err); isCopy {
		err = errors.Join(err, r.gateway.StopTunnels(ctx))
	}
	return err
}

func (r *running) runParts(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	memberCtx, stopMember := context.WithCancel(context.WithoutCancel(ctx))
	defer stopMember()
	group.Go(func() error { return r.member.Run(memberCtx) })
	group.Go(func() error { return r.member.AwaitCopy(ctx, r.gateway.Copied) })
	group.Go(func() error {
		defer stopMember()
		inner, ctx := errgroup.WithContext(ctx)
		inner.Go(func() error { return r.gateway.Run(ctx) })
		inner.Go(func() error { return r.registrar.Run(ctx) })
		return inner.Wait()
	})
	return group.Wait()
}

// membershipState is the state of record; the status shows it.
type membershipState int32

const (
	standalone membershipState = iota // in no federation
	joining
	isMember
	leaving
)

// shown returns the state as the status shows it.
func (s membershipState) shown() status.State {
	switch s {
	case joining:
		return status.Joining
	case isMember:
		return status.Member
	case leaving:
		return status.Leaving
	default:
		return status.Standalone
	}
}

// runner runs one membership after the other. A change replaces the membership
// while none runs.
type runner struct {
	open      func() (*running, error)    // nil: there is no membership
	idle      func(context.Context) error // runs while there is no membership
	switched  func()                      // called when a membership begins or ends
	published func()                      // called when the state changes
	command   commandLock
	changes   chan change
	state     atomic.Int32 // a membershipState
	active    atomic.Pointer[running]
}

// change is what replaces the membership.
type change struct {
	do   func() error
	err  error // of do
	done chan error
}

// finish returns the result to the caller of runner.change, once the membership
// that follows is open; err is why it is not. The zero change has no caller.
func (c change) finish(err error) {
	if c.done != nil {
		c.done <- errors.Join(c.err, err)
	}
}

func newRunner(open func() (*running, error), idle func(context.Context) error, switched, published func()) *runner {
	r := &runner{open: open, idle: idle, switched: switched, published: published, changes: make(chan change)}
	r.state.Store(int32(standalone))
	return r
}

// current returns the membership that runs; nil: none.
func (r *runner) current() *running { return r.active.Load() }

func (r *runner) currentState() membershipState { return membershipState(r.state.Load()) }

// busy reports whether a command holds the membership.
func (r *runner) busy() bool { return r.command.held.Load() }

// commandLock is held by the one command that may change the membership. Unlike
// sync.Mutex it can be read without being acquired, which would refuse a command
// that starts at the same time.
type commandLock struct{ held atomic.Bool }

// TryLock acquires the lock unless it is held, and reports whether it did.
func (l *commandLock) TryLock() bool { return l.held.CompareAndSwap(false, true) }

// Unlock releases the lock. Only its holder may call it.
func (l *commandLock) Unlock() { l.held.Store(false) }

// run runs one membership after the other until ctx ends. It calls opened once
// it is known whether there is one.
func (r *runner) run(ctx context.Context, opened func()) error {
	var next change
	for was := false; ctx.Err() == nil; {
		m, err := r.open()
		if err != nil {
			next.finish(err)
			return err
		}
		r.begin(m)
		opened()
		next.finish(nil)
		if is := m != nil; is != was {
			was = is
			r.switched()
		}
		if next, err = r.serve(ctx, m); err != nil {
			return err
		}
		if next.do != nil {
			next.err = next.do()
		}
	}
	next.finish(ctx.Err())
	return nil
}

func (r *runner) begin(m *running) {
	state := isMember
	if m == nil {
		state = standalone
	}
	r.state.Store(int32(state))
	r.active.Store(m)
	r.published()
}

// serve runs m until ctx ends, m fails, or a change replaces it, which serve
// returns.
func (r *runner) serve(ctx context.Context, m *running) (change, error) {
	runCtx, stop := context.WithCancel(ctx)
	defer stop()
	group, runCtx := errgroup.WithContext(runCtx)
	if m != nil {
		group.Go(func() error { return m.run(runCtx) })
	} else {
		group.Go(func() error { return r.idle(runCtx) })
	}
	var next change
	select {
	case <-runCtx.Done():
	case next = <-r.changes:
	}
	stop()
	err := group.Wait()
	r.active.Store(nil)
	if next.do != nil {
		err = nil // the error of a membership that ends anyway does not matter
	}
	return next, err
}

// change stops the membership, calls do, and starts the membership that then
// exists. Meanwhile the state is the given one.
func (r *runner) change(ctx context.Context, state membershipState, do func() error) error {
	c := change{do: do, done: make(chan error, 1)}
	before := r.state.Swap(int32(state))
	select {
	case r.changes <- c:
	case <-ctx.Done():
		r.state.Store(before)
		return ctx.Err()
	}
	return <-c.done
}

// pollInterval is the time between two checks of a condition that has no change
// of its own to wait for.
const pollInterval = 50 * time.Millisecond

// await returns when the running membership meets the condition.
func (r *runner) await(ctx context.Context, condition func(*running) bool) error {
	met := notify.LoopUntil(ctx, pollInterval, func(context.Context) bool {
		m := r.current()
		return m != nil && condition(m)
	})
	if !met {
		return ctx.Err()
	}
	return nil
}

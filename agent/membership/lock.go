package membership

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/membership/internal/refusals"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// updateTries bounds how often an update is repeated because another gateway
	// wrote at the same time, and updateTimeout bounds all tries together.
	updateTries   = 5
	updateTimeout = 20 * time.Second
)

// lockMembership acquires the lock of commands and returns the membership that runs, which
// no other command ends before the caller releases the lock. Without one it returns why.
func (a *Agent) lockMembership() (*running, error) {
	if !a.runner.command.TryLock() {
		return nil, refusals.Busy()
	}
	r := a.runner.current()
	if r == nil {
		a.runner.command.Unlock()
		return nil, a.notMember()
	}
	return r, nil
}

// withLock calls do, which brings the datacenter into a federation, while no
// other gateway of the datacenter can. Before the call, all gateways have the
// same CA. If do succeeds, the reconciler replaces the lock by the membership.
func (s *sharedState) withLock(ctx context.Context, do func() error) error {
	if s.siblings == nil {
		return do()
	}
	if _, err := s.siblings.Current(); err != nil {
		return refusals.SharedStateUnknown(err)
	}
	if err := s.update(ctx, s.lockForInit); err != nil {
		return err
	}
	err := do()
	if err != nil {
		s.releaseLock(ctx)
	}
	return err
}

// lockForInit puts the lock of this gateway and the CA into state, or returns
// why it must not.
func (s *sharedState) lockForInit(state *identity.SharedState) (err error) {
	if state.Membership != nil {
		return s.datacenterIsMember(*state.Membership)
	}
	if state.LockedByOther(s.file.Gateway, time.Now()) {
		return s.locked(*state.Lock)
	}
	err = member.ErrFormerName // also if there is no CA yet
	if len(state.Certificate) > 0 {
		err = s.admission.Adopt(*state)
	}
	// The datacenter is in no federation: no member trusts the CA of its former
	// name.
	if errors.Is(err, member.ErrFormerName) {
		state.Certificate, state.Key, err = s.admission.Authority()
	}
	if err != nil {
		return err
	}
	state.Lock = s.newLock()
	return nil
}

// lockForLeave acquires the lock before the datacenter leaves, which proves that
// the other gateways can be notified. With force it does nothing.
func (s *sharedState) lockForLeave(ctx context.Context, force bool) error {
	if s.siblings == nil || force {
		return nil
	}
	err := s.update(ctx, func(state *identity.SharedState) error {
		if state.LockedByOther(s.file.Gateway, time.Now()) {
			return s.locked(*state.Lock)
		}
		state.Lock = s.newLock()
		return nil
	})
	if refusal := (*catalog.Refusal)(nil); errors.As(err, &refusal) {
		return refusal
	}
	if err != nil {
		return fmt.Errorf("notify the other gateways of this datacenter: %w; nothing was changed: try again when the API server is back, "+
			"or leave without them with --force", err)
	}
	return nil
}

// recordLeave replaces the membership by the id of the federation that was left,
// so that the other gateways clean up as well.
func (s *sharedState) recordLeave(ctx context.Context, federationID string, release bool) error {
	if s.siblings == nil {
		return nil
	}
	return s.update(ctx, func(state *identity.SharedState) error {
		if state.Membership == nil || state.Membership.FederationID == federationID {
			state.Membership, state.Lock, state.Left, state.Released = nil, nil, federationID, release
		}
		return nil
	})
}

// recordRelease lets all gateways of the datacenter end the guard that its leave left.
func (s *sharedState) recordRelease(ctx context.Context) error {
	if s.siblings == nil {
		return nil
	}
	return s.update(ctx, func(state *identity.SharedState) error {
		if state.Membership != nil {
			return s.datacenterIsMember(*state.Membership)
		}
		state.Released = true
		return nil
	})
}

// releaseLock removes the lock of this gateway, also when ctx has ended.
func (s *sharedState) releaseLock(ctx context.Context) {
	if s.siblings == nil {
		return
	}
	err := s.update(context.WithoutCancel(ctx), func(state *identity.SharedState) error {
		if state.LockedBy(s.file.Gateway) {
			state.Lock = nil
		}
		return nil
	})
	if err != nil {
		s.log.Warn("failed to release the membership lock; other gateways wait until it expires", "ttl", identity.LockTTL, "err", err)
	}
}

// update changes the shared state, again if another gateway wrote at the same
// time.
func (s *sharedState) update(ctx context.Context, change func(*identity.SharedState) error) error {
	ctx, cancel := context.WithTimeout(ctx, updateTimeout)
	defer cancel()
	var err error
	for range updateTries {
		changed := s.siblings.Changed()
		state, unknown := s.siblings.Current()
		if unknown != nil {
			return unknown
		}
		if err := change(&state); err != nil {
			return err
		}
		if err = s.siblings.Save(ctx, state); !errors.Is(err, identity.ErrOutdated) {
			return err
		}
		select {
		case <-changed:
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

func (s *sharedState) newLock() *identity.MembershipLock {
	return &identity.MembershipLock{Gateway: s.file.Gateway, At: time.Now().UTC().Truncate(time.Second)}
}

func (s *sharedState) locked(lock identity.MembershipLock) error {
	return &catalog.Refusal{
		Code:    refusals.CodeLocked,
		Message: fmt.Sprintf("gateway %s is changing the membership of datacenter %s", lock.Gateway, s.file.Datacenter),
		Remedy:  "wait until it has finished; this gateway then follows automatically",
	}
}

func (s *sharedState) datacenterIsMember(m identity.DatacenterMembership) error {
	return &catalog.Refusal{
		Code: refusals.CodeAlreadyMember,
		Message: fmt.Sprintf("datacenter %s is already in federation %s (%s), through gateway %s",
			s.file.Datacenter, m.FederationName, m.FederationID, strings.Join(m.Gateways(s.file.Datacenter), ", ")),
		Remedy: "nothing has to be done: this gateway becomes a member automatically (meshctl status). To move to another federation run meshctl leave first",
	}
}

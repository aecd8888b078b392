package membership

import (
	"context"
	"fmt"
	"time"

	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/membership/internal/refusals"
	"github.com/meshway/meshway/agent/membership/internal/removal"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// transferTimeout bounds the transfer of leadership by a datacenter that left, and the
// first plan of one that leaves.
const transferTimeout = 20 * time.Second

// LeaveOptions are the options of Leave.
type LeaveOptions struct {
	// Force leaves even if the catalog or the other gateways of the datacenter cannot be
	// notified. A gateway that alone was removed only forgets its membership, and enrols
	// again.
	Force bool
	// Release lets packets to the prefixes of the federation take the other routes of the
	// hosts of this datacenter, also after an earlier leave.
	Release bool
}

// Leave removes this datacenter from its federation, and what belongs to the federation
// from this host. What drops packets to the other datacenters stays until it is released.
func (a *Agent) Leave(ctx context.Context, o LeaveOptions, progress member.Progress) error {
	if m := a.notEnrolled(); m != nil {
		return a.leaveUnenrolled(ctx, *m, o, progress)
	}
	if o.Release {
		if outside, err := a.releaseOutside(ctx, progress); outside || err != nil {
			return err
		}
	}
	r, err := a.lockMembership()
	if err != nil {
		return err
	}
	defer a.runner.command.Unlock()
	if p := r.removed.Load(); o.Force && p != nil && p.Code == removal.CodeGateway {
		progress("forgotten", "the federation removed this gateway before, but not its datacenter: this gateway enrols again")
		return a.runner.change(ctx, leaving, a.admission.Forget)
	}
	left, err := a.awaitLeaving(ctx, r)
	if err != nil {
		return err
	}
	if err := a.shared.lockForLeave(ctx, o.Force); err != nil {
		return err
	}
	if err := a.leaveCatalog(ctx, r, o.Force, progress); err != nil {
		a.shared.releaseLock(ctx)
		return err
	}
	if err := a.shared.recordLeave(ctx, r.membership.FederationID, o.Release || len(left.Prefixes) == 0); err != nil {
		// The catalog has removed the datacenter already.
		progress("siblings-not-told", "failed to notify the other gateways of this datacenter ("+err.Error()+"): run meshctl leave --force on each of them")
	}
	return a.dismantle(ctx, left, o.Release, progress)
}

// awaitLeaving returns what this host guards after it has left.
func (a *Agent) awaitLeaving(ctx context.Context, r *running) (left plan.Left, err error) {
	ctx, cancel := context.WithTimeout(ctx, transferTimeout)
	defer cancel()
	planned := a.runner.await(ctx, func(*running) (ok bool) { left, ok = r.leaving(time.Now()); return ok })
	if planned != nil {
		return left, refusals.Starting("planned its routes")
	}
	return left, nil
}

// releaseOutside ends what an earlier leave left. It returns false if this gateway is in
// a federation.
func (a *Agent) releaseOutside(ctx context.Context, progress member.Progress) (bool, error) {
	if !a.runner.command.TryLock() {
		return false, refusals.Busy()
	}
	defer a.runner.command.Unlock()
	if _, found, err := a.cfg.Identity.Membership(); found || err != nil {
		return false, err
	}
	if err := a.shared.recordRelease(ctx); err != nil {
		return true, err
	}
	return true, a.release(ctx, progress)
}

// release removes what drops packets. The caller holds the lock of commands.
func (a *Agent) release(ctx context.Context, progress member.Progress) error {
	err := a.runner.change(ctx, leaving, func() error {
		return dataplane.CleanUp(ctx, a.cfg.Kernel, a.cfg.File.Routing.Table)
	})
	if err == nil {
		progress("released", "packets to other datacenters take the routes that the host has without Meshway")
	}
	return err
}

// notEnrolled returns the membership of the datacenter if this gateway has none; nil
// otherwise. A membership that a command has stopped, to change or to end it, is one.
func (a *Agent) notEnrolled() *identity.DatacenterMembership {
	if a.cfg.Siblings == nil || a.runner.current() != nil || a.runner.currentState() == leaving {
		return nil
	}
	if _, enrolled, err := a.cfg.Identity.Membership(); err != nil || enrolled {
		return nil
	}
	shared, err := a.cfg.Siblings.Current()
	if err != nil {
		return nil
	}
	return shared.Membership
}

// leaveUnenrolled ends a membership that this gateway is not enrolled in, such as that
// of a datacenter that was removed, after the disk was replaced. It does not wait for an
// attempt to enrol: a gateway that enrols meanwhile reads that the datacenter has left.
func (a *Agent) leaveUnenrolled(ctx context.Context, m identity.DatacenterMembership, o LeaveOptions, progress member.Progress) error {
	if !o.Force {
		return refusals.NotEnrolled(m, a.cfg.File.Datacenter)
	}
	if err := a.shared.recordLeave(ctx, m.FederationID, o.Release); err != nil {
		return err
	}
	progress("recorded", "the gateways of this datacenter end their membership; a member that keeps the datacenter removes it with meshctl datacenter remove "+string(a.cfg.File.Datacenter))
	return nil
}

// leaveCatalog removes the datacenter from the catalog, and waits until its
// leadership is transferred.
func (a *Agent) leaveCatalog(ctx context.Context, r *running, force bool, progress member.Progress) error {
	if r.removed.Load() != nil {
		progress("not-told", "the federation removed this datacenter before: there is no member to notify")
		return nil
	}
	dc := a.cfg.File.Datacenter
	if _, listed := r.member.View().Datacenter(dc); listed {
		err := r.member.Leave(ctx)
		if err != nil && !force {
			return fmt.Errorf("remove datacenter %s from the catalog: %w; wait for a leader, or end the membership on this side only with --force "+
				"(the other members keep the datacenter until one of them runs meshctl datacenter remove %s)", dc, err, dc)
		}
		if err != nil {
			progress("not-told", "failed to remove the datacenter from the catalog: "+err.Error())
			return nil
		}
	}
	progress("told", "the datacenter is removed from the catalog")
	ctx, cancel := context.WithTimeout(ctx, transferTimeout)
	defer cancel()
	if err := r.member.AwaitTransfer(ctx); err != nil {
		a.cfg.Log.Warn("failed to transfer the leadership of the catalog", "err", err)
	}
	return nil
}

// dismantle removes what belongs to the federation from this host, and guards left
// unless it is released. The membership is removed last: an interrupted leave is repeated.
func (a *Agent) dismantle(ctx context.Context, left plan.Left, release bool, progress member.Progress) error {
	return a.runner.change(ctx, leaving, func() error {
		if release {
			left = plan.Left{}
		}
		removed, err := dataplane.Leave(ctx, a.cfg.Kernel, a.cfg.File.Routing.Table, left)
		if err != nil {
			return err
		}
		progress("removed", removed)
		return a.admission.Forget()
	})
}

// Demote removes this gateway from the catalog because its host is no longer to
// be a gateway, and forgets its membership; tunnels and routes stay. The last
// gateway of a datacenter keeps its membership on disk, to resume it when the
// host is a gateway again.
func (a *Agent) Demote(ctx context.Context) error {
	a.demoted.Store(true)
	if !a.runner.command.TryLock() {
		return refusals.Busy()
	}
	defer a.runner.command.Unlock()
	r := a.runner.current()
	if r == nil {
		return nil
	}
	results, err := r.member.Propose(ctx, catalog.NewRemoveGateway(a.cfg.File.GatewayID()))
	if err != nil {
		return fmt.Errorf("remove this gateway from the catalog: %w", err)
	}
	if refusal := results[0].Refusal; refusal != nil && refusal.Code == catalog.CodeLastGateway {
		a.cfg.Log.Warn("this was the last gateway of its datacenter; its membership stays on disk", "datacenter", a.cfg.File.Datacenter)
		return nil
	} else if refusal != nil {
		return refusal
	}
	if err := r.member.AwaitTransfer(ctx); err != nil {
		a.cfg.Log.Warn("failed to transfer the leadership of the catalog", "err", err)
	}
	return a.runner.change(ctx, leaving, a.admission.Forget)
}

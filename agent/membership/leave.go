package membership

import (
	"context"
	"fmt"
	"time"

	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
)

// transferTimeout bounds the transfer of leadership by a datacenter that left.
const transferTimeout = 20 * time.Second

// Leave removes this datacenter from its federation, and everything that belongs
// to the federation from this host. With force it does so even if the catalog or the
// other gateways of the datacenter cannot be notified. A gateway that alone was removed
// only forgets its membership with force, and enrols again.
func (a *Agent) Leave(ctx context.Context, force bool, progress member.Progress) error {
	if m := a.notEnrolled(); m != nil {
		return a.leaveUnenrolled(ctx, *m, force, progress)
	}
	r, err := a.lockMembership()
	if err != nil {
		return err
	}
	defer a.runner.command.Unlock()
	if p := r.removed.Load(); force && p != nil && p.Code == codeGatewayRemoved {
		progress("forgotten", "the federation removed this gateway before, but not its datacenter: this gateway enrols again")
		return a.runner.change(ctx, status.Leaving, a.admission.Forget)
	}
	if err := a.shared.lockForLeave(ctx, force); err != nil {
		return err
	}
	if err := a.leaveCatalog(ctx, r, force, progress); err != nil {
		a.shared.releaseLock(ctx)
		return err
	}
	if err := a.shared.recordLeave(ctx, r.membership.FederationID); err != nil {
		// The catalog has removed the datacenter already.
		progress("siblings-not-told", "failed to notify the other gateways of this datacenter ("+err.Error()+"): run meshctl leave --force on each of them")
	}
	return a.dismantle(ctx, progress)
}

// notEnrolled returns the membership of the datacenter if this gateway has none; nil
// otherwise. A membership that a command has stopped, to change or to end it, is one.
func (a *Agent) notEnrolled() *identity.DatacenterMembership {
	if a.cfg.Siblings == nil || a.runner.current() != nil || a.runner.currentState() == status.Leaving {
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
func (a *Agent) leaveUnenrolled(ctx context.Context, m identity.DatacenterMembership, force bool, progress member.Progress) error {
	if !force {
		return notEnrolled(m, a.cfg.File.Datacenter)
	}
	if err := a.shared.recordLeave(ctx, m.FederationID); err != nil {
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

// dismantle removes everything that belongs to the federation from this host.
// The membership is removed last: an interrupted leave is repeated.
func (a *Agent) dismantle(ctx context.Context, progress member.Progress) error {
	return a.runner.change(ctx, status.Leaving, func() error {
		if err := dataplane.CleanUp(ctx, a.cfg.Kernel, a.cfg.File.Routing.Table); err != nil {
			return err
		}
		progress("removed", "tunnels, routes and firewall are removed")
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
		return busy()
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
	return a.runner.change(ctx, status.Leaving, a.admission.Forget)
}

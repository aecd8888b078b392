package membership

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/membership/internal/refusals"
	"github.com/meshway/meshway/agent/registrar"
	"github.com/meshway/meshway/agent/rotation"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/succession"
)

// rotationTimeout bounds how long a command waits for the siblings.
const rotationTimeout = 4 * time.Minute

// RotateRequest is how to replace the CA of the datacenter.
type RotateRequest struct {
	DryRun bool
	Again  bool // also if it was replaced within rotation.Recent
}

// RotateCA replaces the CA of this datacenter and returns when the former one is no
// longer trusted. If it is interrupted, the agents of the datacenter complete what
// the catalog has, and the same command continues.
func (a *Agent) RotateCA(ctx context.Context, request RotateRequest, progress member.Progress) error {
	r := a.runner.current()
	if r == nil {
		return a.notMember()
	}
	dc, ok := r.member.View().Datacenter(a.cfg.File.Datacenter)
	if !ok {
		return a.notMember()
	}
	switch rotation.StageOf(dc, r.member.CA(), request.Again, time.Now()) {
	case rotation.Done:
		progress("unchanged", fmt.Sprintf("the CA of datacenter %s was replaced less than %s ago, by the one with fingerprint %s; --again replaces it once more",
			dc.Name, rotation.Recent, r.member.CA().Pin()))
		return nil
	case rotation.Pending:
		progress("announced", "the catalog has the new CA; the former one is still trusted")
	case rotation.Due:
		if err := rotation.CheckLevels(dc.Name, r.member.View().Gateways()); err != nil {
			return err
		}
		if request.DryRun {
			progress("plan", rotation.DescribePlan(dc.Name, r.member.View().Gateways(), r.member.CA()))
			return nil
		}
		if err := a.announceCA(ctx, r, progress); err != nil {
			return err
		}
	}
	if request.DryRun {
		return nil
	}
	a.reconcile.Notify()
	return a.awaitRotation(ctx, dc.Name, progress)
}

// announceCA creates the CA that follows, stores it where the gateways of this
// datacenter find it, and announces it in the catalog.
func (a *Agent) announceCA(ctx context.Context, r *running, progress member.Progress) error {
	now, err := a.lockMembership()
	if err != nil {
		return err
	}
	defer a.runner.command.Unlock()
	if now != r {
		return refusals.Busy() // another command has ended that membership meanwhile
	}
	next, err := a.prepareCA(ctx)
	if err != nil {
		return err
	}
	progress("prepared", fmt.Sprintf("the key of the new CA with fingerprint %s is stored", next.Pin()))
	if err := r.member.AnnounceCA(ctx, next); err != nil {
		return fmt.Errorf("announce the new CA: %w", err)
	}
	progress("announced", "the catalog has the new CA, which the former one has signed")
	return nil
}

// prepareCA returns the CA that was prepared before, or a new one. Its key is stored
// before the catalog has it.
func (a *Agent) prepareCA(ctx context.Context) (*identity.CA, error) {
	name := a.cfg.File.Datacenter
	if a.cfg.Siblings == nil {
		next, err := a.cfg.Identity.NextCA(name)
		if next != nil || err != nil {
			return next, err
		}
		if next, err = identity.NewCA(name, time.Now()); err != nil {
			return nil, err
		}
		return next, a.cfg.Identity.SaveNextCA(next)
	}
	var next *identity.CA
	err := a.shared.update(ctx, func(state *identity.SharedState) (err error) {
		if !state.NextKey.IsZero() {
			next, err = identity.DecodeCA(name, state.NextCert, state.NextKey)
			return err
		}
		if next, err = identity.NewCA(name, time.Now()); err != nil {
			return err
		}
		state.NextCert, state.NextKey, err = next.Encode()
		return err
	})
	return next, err
}

// awaitRotation waits until the former CA is retired.
func (a *Agent) awaitRotation(ctx context.Context, dc catalog.DatacenterName, progress member.Progress) error {
	ctx, cancel := context.WithTimeout(ctx, rotationTimeout)
	defer cancel()
	var waiting []string
	known := -1
	err := a.runner.await(ctx, func(r *running) bool {
		view := r.member.View()
		record, _ := view.Datacenter(dc)
		waiting = r.member.Trust().Waiting(view)
		if n := len(waiting); n != known {
			known = n
			progress("followed", fmt.Sprintf("gateways that do not use the new CA yet: %d", n))
		}
		_, pending := succession.Pending(record)
		return !pending
	})
	if err != nil {
		return &catalog.Refusal{
			Code: "rotation-unfinished", Message: fmt.Sprintf("the former CA of datacenter %s is still trusted: gateways %s do not use the new one yet", dc, strings.Join(waiting, ", ")),
			Remedy: "start meshd on these gateways, or remove their hosts; the rotation then completes automatically, and meshctl ca rotate shows it",
		}
	}
	progress("retired", fmt.Sprintf("the former CA of datacenter %s is no longer trusted; back up the catalog again (meshctl snapshot save)", dc))
	return nil
}

// followCA makes this gateway use the CA that the catalog has for its datacenter once it
// has its key, and retires the former one when all gateways do.
func (r *reconciler) followCA(ctx context.Context, m *running, shared identity.SharedState) {
	if err := r.useCA(m, shared); err != nil {
		r.cfg.Log.Error("failed to use the new CA of the datacenter", "err", err)
		return
	}
	view := m.member.View()
	dc, ok := view.Datacenter(r.cfg.File.Datacenter)
	if _, pending := succession.Pending(dc); !ok || !pending || !bytes.Equal(dc.CACertificate, m.member.CA().Certificate()) {
		return
	}
	if len(m.member.Trust().Waiting(view)) > 0 {
		m.registrar.SignAgain()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, registrar.ProposeTimeout)
	defer cancel()
	if err := m.member.RetireCA(ctx); err != nil {
		r.cfg.Log.Debug("failed to retire the former CA of the datacenter; the next pass tries again", "err", err)
		return
	}
	r.cfg.Log.Info("the former CA of the datacenter is no longer trusted", "datacenter", dc.Name)
}

func (r *reconciler) useCA(m *running, shared identity.SharedState) error {
	dc, ok := m.member.View().Datacenter(r.cfg.File.Datacenter)
	if !ok {
		return nil
	}
	prepared, err := r.cfg.Identity.NextCA(dc.Name)
	if err != nil {
		return err
	}
	ca := rotation.ChooseCA(dc, rotation.Keys{Own: m.member.CA(), Prepared: prepared, Shared: shared, Federation: m.membership.FederationID})
	if ca == nil {
		m.member.PresentChain()
		return r.cfg.Identity.RemoveUsedCA(m.member.CA())
	}
	if err := m.member.UseCA(r.cfg.Identity, ca); err != nil {
		return err
	}
	m.registrar.SignAgain()
	return nil
}

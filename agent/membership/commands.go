package membership

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/build"
	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/membership/internal/noaddress"
	"github.com/meshway/meshway/agent/membership/internal/refusals"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/allowlist"
)

// usableTimeout is how long a datacenter that has just joined waits for its
// first tunnel and for the catalog.
const usableTimeout = time.Minute

// Init creates a federation that consists of this datacenter.
func (a *Agent) Init(ctx context.Context, options member.InitOptions) (catalog.Federation, error) {
	err := a.becomeMember(ctx, func(request member.JoinRequest) error { return a.admission.Init(ctx, options, request) })
	if err != nil {
		return catalog.Federation{}, err
	}
	defer a.endCommand()
	var federation catalog.Federation
	err = a.runner.await(ctx, func(r *running) bool {
		federation, _ = r.member.View().Federation()
		return a.hasLeader(r)
	})
	if err != nil {
		return catalog.Federation{}, fmt.Errorf("wait for the new catalog: %w", err)
	}
	return federation, nil
}

// Join requests that the federation of the token admits this datacenter, and
// returns when traffic can flow.
func (a *Agent) Join(ctx context.Context, token string, progress member.Progress) error {
	err := a.becomeMember(ctx, func(request member.JoinRequest) error { return a.admission.Join(ctx, token, request, progress) })
	if err != nil {
		return err
	}
	defer a.endCommand()
	return a.awaitUsable(ctx, progress)
}

// becomeMember runs admit, which makes this datacenter a member, while no other
// command runs on any gateway of the datacenter. If it returns no error, the
// caller calls endCommand.
func (a *Agent) becomeMember(ctx context.Context, admit func(member.JoinRequest) error) error {
	if err := a.beginCommand(); err != nil {
		return err
	}
	request, err := a.joinRequest(ctx)
	if err == nil {
		err = a.shared.withLock(ctx, func() error {
			return a.runner.change(ctx, joining, func() error { return admit(request) })
		})
	}
	if err != nil {
		a.endCommand()
	}
	return err
}

// beginCommand starts a command that only a gateway outside of a federation may
// run.
func (a *Agent) beginCommand() error {
	if a.cfg.Siblings != nil && a.runner.current() == nil {
		if shared, err := a.cfg.Siblings.Current(); err == nil && shared.Membership != nil {
			return a.shared.datacenterIsMember(*shared.Membership)
		}
	}
	if !a.runner.command.TryLock() {
		return refusals.Busy()
	}
	if r := a.runner.current(); r != nil {
		a.runner.command.Unlock()
		return refusals.AlreadyMember(r.membership)
	}
	return nil
}

// endCommand lets the reconciler share a new membership. After a failure it does
// not: the command may have been an attempt of the reconciler, which has its
// own retry interval.
func (a *Agent) endCommand() {
	a.runner.command.Unlock()
	if a.runner.current() != nil {
		a.reconcile.Notify()
	}
}

// awaitUsable waits until traffic of a new member can flow.
func (a *Agent) awaitUsable(ctx context.Context, progress member.Progress) error {
	ctx, cancel := context.WithTimeout(ctx, usableTimeout)
	defer cancel()
	if err := a.runner.await(ctx, func(r *running) bool { return r.gateway.Connected() }); err != nil {
		return &catalog.Refusal{
			Code:    "no-tunnel",
			Message: fmt.Sprintf("the datacenter has joined, but no tunnel came up within %s", usableTimeout),
			Remedy:  "check that the gateways reach each other over UDP (wireguard.port), then run meshctl status: the agent keeps trying",
		}
	}
	progress("tunnel-up", "a tunnel is up")
	if err := a.runner.await(ctx, a.hasLeader); err != nil {
		return &catalog.Refusal{
			Code:    "no-catalog",
			Message: "the datacenter has joined and has a tunnel, but the leader of the catalog has not been reached",
			Remedy:  "run meshctl status: the agent keeps trying",
		}
	}
	progress("catalog-synced", "the catalog is up to date")
	if r := a.runner.current(); r != nil {
		var reached plan.Reachability
		r.gateway.Reach(&reached)
		if text := unreachableForever(reached.Problems); text != "" {
			progress(gatewayplan.CodeNoCommonFamily, text)
		}
	}
	return nil
}

// unreachableForever returns the report of the gateways to which this one can have no
// tunnel; empty: there are none.
func unreachableForever(problems []plan.Problem) string {
	found := slices.DeleteFunc(slices.Clone(problems), func(p plan.Problem) bool { return p.Code != gatewayplan.CodeNoCommonFamily })
	switch len(found) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("%s: %s", found[0].Message, found[0].Remedy)
	}
	return fmt.Sprintf("%s: %s; meshctl status lists %d such gateways", found[0].Message, found[0].Remedy, len(found))
}

func (a *Agent) hasLeader(r *running) bool {
	_, listed := r.member.View().Datacenter(a.cfg.File.Datacenter)
	return listed && r.member.Status().Leader != ""
}

// joinRequest returns what this datacenter brings into a federation, after it
// has proved that this host can carry tunnels.
func (a *Agent) joinRequest(ctx context.Context) (member.JoinRequest, error) {
	host, err := a.cfg.Host.Observe(ctx)
	if err != nil {
		return member.JoinRequest{}, err
	}
	file, site := a.cfg.File, a.cfg.Site.Current()
	if !site.Known {
		return member.JoinRequest{}, refusals.SiteUnknown()
	}
	if r := allowlist.CheckLengths(site.Prefixes); r != nil { // those of a cluster are discovered
		return member.JoinRequest{}, r
	}
	if err := gatewayplan.RefuseInterfaces(file, host); err != nil {
		return member.JoinRequest{}, err
	}
	gateway := catalog.Gateway{
		Datacenter:   file.Datacenter,
		Name:         file.Gateway,
		PublicKey:    catalog.Key(a.cfg.Key.Public()),
		Version:      build.Current().Version,
		FeatureLevel: catalog.Level,
		Witness:      file.Witness,
	}
	gateway.Endpoints, gateway.Controls = plan.Advertisement(file, site, host)
	if len(gateway.Endpoints) == 0 || len(gateway.Controls) == 0 {
		return member.JoinRequest{}, noaddress.Refusal(file, host)
	}
	checkOverlay := func(overlay netip.Prefix) error {
		if err := gatewayplan.RefuseOverlay(file, host, overlay); err != nil {
			return err
		}
		return a.checkLiveness(ctx, overlay)
	}
	return member.JoinRequest{Prefixes: site.Prefixes, Gateway: gateway, CheckOverlay: checkOverlay}, dataplane.Preflight(ctx, a.cfg.Kernel, file, a.cfg.Key)
}

// checkLiveness returns a refusal if another process has the port of liveness, so
// that no tunnel would come up.
func (a *Agent) checkLiveness(ctx context.Context, overlay netip.Prefix) error {
	err := a.cfg.NewLiveness().Check(ctx, overlay.Addr().Next())
	if err == nil {
		return nil
	}
	return &catalog.Refusal{
		Code:    "liveness-port-in-use",
		Field:   "liveness.port",
		Message: fmt.Sprintf("this gateway could not check its tunnels: %v", err),
		Remedy:  "stop that process, or set liveness.port to the same other port on all gateways of the federation",
	}
}

// notMember returns why a command needs a membership that does not run: there is none,
// or the agent has just been started and has not opened it.
func (a *Agent) notMember() error {
	if _, found, err := a.cfg.Identity.Membership(); err == nil && found {
		return refusals.Starting("opened the catalog of its federation")
	}
	return &catalog.Refusal{
		Code:    "not-a-member",
		Message: "this gateway is in no federation",
		Remedy:  "initialize one with meshctl init, or join one with meshctl join TOKEN",
	}
}

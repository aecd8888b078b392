package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/build"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// usableTimeout is how long a datacenter that has just joined waits for
	// its first tunnel and for the catalog.
	usableTimeout = time.Minute
	// withdrawTimeout bounds the hand-over of leadership by a datacenter that left.
	withdrawTimeout = 20 * time.Second
	// pollInterval is how often a caller that waits looks at the newest state.
	pollInterval = 50 * time.Millisecond
)

// Progress tells a person of a step that is done.
type Progress func(step, message string)

// end lets the tender share a new membership. One that failed leaves it its pace:
// it may have been its own attempt.
func (a *Agent) end() {
	a.lifecycle.Unlock()
	if a.member.Load() != nil {
		a.tending.Up()
	}
}

// Found makes a new federation out of this datacenter.
func (a *Agent) Found(ctx context.Context, founding Founding) (catalog.Federation, error) {
	if err := a.begin(); err != nil {
		return catalog.Federation{}, err
	}
	defer a.end()
	candidate, err := a.candidate(ctx)
	if err != nil {
		return catalog.Federation{}, err
	}
	err = a.claimed(ctx, func() error {
		return a.change(ctx, status.Joining, func() error { return a.deps.Federations.Found(ctx, founding, candidate) })
	})
	if err != nil {
		return catalog.Federation{}, err
	}
	if err := a.await(ctx, a.hasLeader); err != nil {
		return catalog.Federation{}, fmt.Errorf("wait for the new catalog: %w", err)
	}
	federation, _ := a.member.Load().federation.View().Federation()
	return federation, nil
}

// Join has this datacenter admitted by the federation of the token, and
// returns when traffic can flow.
func (a *Agent) Join(ctx context.Context, token string, progress Progress) error {
	if err := a.begin(); err != nil {
		return err
	}
	defer a.end()
	candidate, err := a.candidate(ctx)
	if err != nil {
		return err
	}
	err = a.claimed(ctx, func() error {
		return a.change(ctx, status.Joining, func() error {
			return a.deps.Federations.Join(ctx, token, candidate, progress)
		})
	})
	if err != nil {
		return err
	}
	return a.settleIn(ctx, progress)
}

// settleIn waits until a new member can be used.
func (a *Agent) settleIn(ctx context.Context, progress Progress) error {
	ctx, cancel := context.WithTimeout(ctx, usableTimeout)
	defer cancel()
	if err := a.await(ctx, a.hasTunnel); err != nil {
		return &catalog.Refusal{
			Code:    "no-tunnel",
			Message: fmt.Sprintf("the datacenter has joined, but no tunnel came up in %s", usableTimeout),
			Remedy:  "check that the gateways reach each other over UDP (wireguard.port), then see meshctl status: the agent keeps trying",
		}
	}
	progress("tunnel-up", "a tunnel is up")
	if err := a.await(ctx, a.hasLeader); err != nil {
		return &catalog.Refusal{
			Code:    "no-catalog",
			Message: "the datacenter has joined and has a tunnel, but the catalog's leader has not been heard",
			Remedy:  "see meshctl status: the agent keeps trying",
		}
	}
	progress("catalog-synced", "the catalog is here")
	return nil
}

// Leave takes this datacenter out of its federation and removes what was made
// for it. With force it does so also when the catalog cannot be told.
func (a *Agent) Leave(ctx context.Context, force bool, progress Progress) error {
	if !a.lifecycle.TryLock() {
		return busy()
	}
	defer a.lifecycle.Unlock()
	m := a.member.Load()
	if m == nil {
		return notMember()
	}
	if err := a.holdSiblings(ctx, force); err != nil {
		return err
	}
	if err := a.tellLeave(ctx, m, force, progress); err != nil {
		a.letGo(ctx)
		return err
	}
	if err := a.tellSiblings(ctx, m); err != nil {
		// The federation knows already; what is left to be told is told by hand.
		progress("siblings-not-told", "other gateways of this datacenter could not be told ("+err.Error()+"): run meshctl leave --force on each of them")
	}
	return a.dismantle(ctx, progress)
}

// dismantle removes what was made for the federation.
func (a *Agent) dismantle(ctx context.Context, progress Progress) error {
	return a.change(ctx, status.Leaving, func() error {
		// The membership is forgotten last: a leave that is cut off is done again.
		if err := CleanUp(ctx, a.deps.Dataplane, a.deps.Config.Routing.Table); err != nil {
			return err
		}
		progress("removed", "tunnels, routes and firewall are removed")
		return a.deps.Federations.Forget()
	})
}

func (a *Agent) tellLeave(ctx context.Context, m *member, force bool, progress Progress) error {
	if m.expelled.Load() != nil {
		progress("not-told", "the federation has removed the datacenter before: there is nobody to tell")
		return nil
	}
	if _, member := m.federation.View().Datacenter(a.deps.Config.Datacenter); member {
		err := m.federation.Leave(ctx)
		if err != nil && !force {
			return fmt.Errorf("tell the federation: %w; wait for a leader, or drop the membership on this side alone with --force "+
				"(the others then still know the datacenter until one of them runs meshctl datacenter remove %s)", err, a.deps.Config.Datacenter)
		}
		if err != nil {
			progress("not-told", "the federation could not be told: "+err.Error())
			return nil
		}
	}
	progress("told", "the federation knows that the datacenter left")
	ctx, cancel := context.WithTimeout(ctx, withdrawTimeout)
	defer cancel()
	if err := m.federation.Withdraw(ctx); err != nil {
		a.deps.Log.Warn("the catalog's duties could not be handed over", "err", err)
	}
	return nil
}

// begin starts a change that only a gateway without federation may make; the
// caller unlocks lifecycle if there is no error.
func (a *Agent) begin() error {
	if a.deps.Siblings != nil && a.member.Load() == nil {
		if common, err := a.deps.Siblings.Current(); err == nil && common.Standing != nil {
			return a.datacenterIsMember(*common.Standing)
		}
	}
	if !a.lifecycle.TryLock() {
		return busy()
	}
	if m := a.member.Load(); m != nil {
		a.lifecycle.Unlock()
		return alreadyMember(m.Membership)
	}
	return nil
}

func busy() error {
	return &catalog.Refusal{
		Code: busyCode, Message: "an init, join or leave is under way on this gateway",
		Remedy: "wait until it has ended; see meshctl status",
	}
}

// candidate is what this datacenter brings along, on a host that can carry tunnels.
func (a *Agent) candidate(ctx context.Context) (Candidate, error) {
	host, err := a.deps.Host.Observe(ctx)
	if err != nil {
		return Candidate{}, err
	}
	cfg, site := a.deps.Config, a.deps.Site.Current()
	if !site.Known {
		return Candidate{}, siteUnknown()
	}
	gateway := catalog.Gateway{
		Datacenter: cfg.Datacenter, Name: cfg.Gateway,
		PublicKey: catalog.Key(a.deps.Key.Public()), Version: build.Current().Version,
	}
	gateway.Endpoints, gateway.Controls = advertisement(cfg, site, host)
	if len(gateway.Endpoints) == 0 || len(gateway.Controls) == 0 {
		return Candidate{}, &catalog.Refusal{
			Code: "no-underlay-address", Field: "wireguard.advertise",
			Message: "this host has no address by which others could reach it: all that it has are in the datacenter's own pod and service prefixes",
			Remedy:  "set wireguard.advertise and control.advertise in the configuration",
		}
	}
	return Candidate{Prefixes: site.Prefixes, Gateway: gateway}, a.preflight(ctx)
}

// await returns when the running member fulfils the condition.
func (a *Agent) await(ctx context.Context, fulfilled func(*member) bool) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if m := a.member.Load(); m != nil && fulfilled(m) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (a *Agent) hasLeader(m *member) bool {
	_, member := m.federation.View().Datacenter(a.deps.Config.Datacenter)
	return member && m.federation.Consensus().Leader != ""
}

// hasTunnel is also true of a datacenter that is alone.
func (a *Agent) hasTunnel(m *member) bool {
	p := m.loop.last.Load()
	if p == nil || len(p.errors) > 0 {
		return false
	}
	sessions := m.loop.liveness.Sessions()
	return len(p.desired.Sessions) == 0 || slices.ContainsFunc(sessions, func(s plan.Session) bool { return s.Up })
}

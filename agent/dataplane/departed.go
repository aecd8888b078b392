package dataplane

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/routes"
)

// Departed guards a host while its datacenter is in no federation: it keeps the firewall
// that drops packets to the prefixes of the federation that was left.
type Departed struct {
	file      config.Config
	kernel    Kernel
	host      Host
	site      Site
	published func() // called after each pass
	log       *slog.Logger
	wake      notify.Signal
	last      atomic.Pointer[departedPass] // nil: nothing is guarded
}

// departedPass is one turn of the loop.
type departedPass struct {
	outcome
	left     plan.Left
	firewall routes.Firewall
}

// NewDeparted returns a guard that does nothing until it runs.
func NewDeparted(file config.Config, k Kernel, host Host, site Site, published func(), log *slog.Logger) *Departed {
	return &Departed{file: file, kernel: k, host: host, site: site, published: published, log: log, wake: notify.NewSignal()}
}

// Run keeps the firewall until ctx ends, and leaves it as it is. Without a federation that
// was left it returns at once: what is guarded changes only while it does not run.
func (d *Departed) Run(ctx context.Context) error {
	d.last.Store(nil)
	if !d.Guards() {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return stopped(ctx, d.kernel.Routes.Watch(ctx, d.wake.Notify)) })
	group.Go(func() error {
		notify.Loop(ctx, d.pass, d.site.Changed, d.wake.Changed)
		return nil
	})
	err := group.Wait()
	d.last.Store(nil)
	return err
}

// pass reads, plans and applies once. After an error the firewall stays as it is.
func (d *Departed) pass(ctx context.Context) time.Duration {
	before := departedPass{}
	if last := d.last.Load(); last != nil {
		before = *last
	}
	p := &departedPass{outcome: before.next(time.Now()), firewall: before.firewall}
	left, _, err := d.kernel.Left.Load()
	p.left = left
	if err == nil {
		err = d.apply(ctx, p)
	}
	p.add(err)
	p.problems = p.guardProblems()
	p.log(d.log, before.outcome)
	d.last.Store(p)
	d.published()
	if len(p.errors) > 0 {
		return retryInterval
	}
	return resyncInterval
}

func (d *Departed) apply(ctx context.Context, p *departedPass) error {
	host, err := d.host.Observe(ctx)
	if err != nil {
		return err
	}
	p.firewall = gatewayplan.LeftFirewall(d.file, host, d.site.Current(), p.left)
	if err := d.kernel.Firewall.Apply(ctx, p.firewall); err != nil {
		return err
	}
	p.drops.counters, err = d.kernel.Firewall.Counters(ctx)
	return err
}

func (p *departedPass) guardProblems() []plan.Problem {
	if len(p.firewall.Remote) == 0 {
		return nil
	}
	return []plan.Problem{{
		Code:     "left-guarded",
		Severity: plan.Warning,
		Subject:  "this host",
		Message: fmt.Sprintf("this host left federation %s at %s, and still drops packets to and from the prefixes of its other datacenters: %s",
			p.left.Federation, p.left.At.UTC().Format(time.DateTime), leftText(p.left)),
		Remedy: plan.ReleaseRemedy,
	}}
}

// leftText names the datacenters and the first prefixes that are guarded after a leave.
func leftText(left plan.Left) string {
	const few = 3
	var out []string
	for _, w := range left.Prefixes[:min(few, len(left.Prefixes))] {
		out = append(out, fmt.Sprintf("%v of %s", w.Prefix.CIDR, w.Datacenter))
	}
	if more := len(left.Prefixes) - few; more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(out, ", ")
}

// Guards reports whether a federation that was left is guarded, also before the first pass.
func (d *Departed) Guards() bool {
	if d.kernel.Left == nil {
		return false
	}
	_, found, err := d.kernel.Left.Load()
	return found || err != nil
}

// Fill sets in s what is guarded.
func (d *Departed) Fill(s *status.Sources) {
	p := d.last.Load()
	if p == nil {
		return
	}
	s.Problems, s.Errors, s.Dropped = append(s.Problems, p.problems...), append(s.Errors, p.errorTexts()...), p.drops.counters
}

// FillRoutes sets in s what is guarded.
func (d *Departed) FillRoutes(s *status.RouteSources) {
	if p := d.last.Load(); p != nil {
		s.Left, s.Desired.Firewall = p.left, p.firewall
	}
}

// Leaving returns what is to be guarded when the datacenter of this gateway leaves: all
// that the other datacenters announce, and announced until lately. It returns false before
// the first pass, when that is not known.
func (g *Gateway) Leaving(now time.Time) (plan.Left, bool) {
	p := g.last.Load()
	if p == nil || p.inputs.Self == "" {
		return plan.Left{}, false
	}
	left := plan.Left{
		Federation: p.inputs.Catalog.Federation.Name, At: now.Round(0).UTC(),
		ControlPorts: p.desired.Firewall.PeerControlPorts,
	}
	if p.inputs.Config.Witness {
		return left, true // it carries no traffic
	}
	seen := map[netip.Prefix]bool{}
	for _, dc := range p.inputs.Catalog.Datacenters {
		for _, announced := range dc.Prefixes {
			if dc.Name != g.cfg.Self.Datacenter() && !seen[announced.CIDR] {
				seen[announced.CIDR] = true
				left.Prefixes = append(left.Prefixes, plan.Withdrawn{Datacenter: dc.Name, Prefix: announced, At: left.At})
			}
		}
	}
	left.Prefixes = append(left.Prefixes, slices.DeleteFunc(slices.Clone(p.inputs.Withdrawn), func(w plan.Withdrawn) bool { return seen[w.Prefix.CIDR] })...)
	return left, true
}

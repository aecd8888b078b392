package controller

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/wake"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

const (
	// antiEntropy heals what nobody told of, and tries again what was refused.
	antiEntropy    = 30 * time.Second
	proposeRetry   = time.Second
	proposeTimeout = 10 * time.Second
)

// publisher makes the catalog say what this cluster exports. While a write is
// under way the next changes gather: the busier, the larger the entries.
type publisher struct {
	conf   Config
	log    *slog.Logger
	notify func(catalog.ServiceName) // the state of its export has changed
	wake   wake.One

	mu      sync.Mutex // guards all following
	want    map[catalog.ServiceName]mcs.Publication
	refused map[catalog.ServiceName]refusal
}

type refusal struct {
	why *catalog.Refusal
	at  time.Time
}

func newPublisher(conf Config, log *slog.Logger, notify func(catalog.ServiceName)) *publisher {
	return &publisher{
		conf: conf, log: log, notify: notify, wake: wake.NewOne(),
		want: make(map[catalog.ServiceName]mcs.Publication), refused: make(map[catalog.ServiceName]refusal),
	}
}

// set says what the catalog should say of a name; no export: nothing.
func (p *publisher) set(name catalog.ServiceName, publication mcs.Publication) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.want[name].Equal(publication) {
		return
	}
	delete(p.refused, name)
	p.want[name] = publication
	if publication.Export == nil {
		delete(p.want, name)
	}
	p.wake.Up()
}

// refusal gives why the catalog does not take an export; nil if it does.
func (p *publisher) refusal(name catalog.ServiceName) *catalog.Refusal {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused[name].why
}

func (p *publisher) run(ctx context.Context) {
	for {
		changed := p.conf.Catalog.Changed()
		next := p.write(ctx)
		select {
		case <-ctx.Done():
			return
		case <-changed:
			pause(ctx, coalesce)
		case <-p.wake:
			pause(ctx, coalesce)
		case <-time.After(next):
		}
	}
}

// write writes what is missing and returns when to try again.
func (p *publisher) write(ctx context.Context) time.Duration {
	view := p.conf.Catalog.View()
	if _, member := view.Datacenter(p.conf.Datacenter); !member {
		return antiEntropy
	}
	want, held := p.state()
	missing := mcs.FindMissing(view, p.conf.Datacenter, want, func(name catalog.ServiceName) bool { return held[name] })
	cmds := missing.Commands()
	if len(cmds) == 0 {
		return antiEntropy
	}
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	outcome, err := p.propose(ctx, missing, cmds)
	if err != nil {
		p.log.Debug("exports wait", "commands", len(cmds), "err", err)
		return proposeRetry
	}
	p.settle(outcome)
	return antiEntropy
}

// state copies what there is to do; a refused name is held back for a while.
func (p *publisher) state() (want map[catalog.ServiceName]mcs.Publication, held map[catalog.ServiceName]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	held = make(map[catalog.ServiceName]bool)
	for name, r := range p.refused {
		held[name] = time.Since(r.at) < antiEntropy
	}
	return maps.Clone(p.want), held
}

// propose writes all at once and, if any of it is refused, each service by
// itself. It returns for each name what the catalog has against it, or nil.
func (p *publisher) propose(ctx context.Context, missing mcs.Missing, cmds []*catalogpb.Command) (map[catalog.ServiceName]*catalog.Refusal, error) {
	parts := missing.ByName()
	outcome := make(map[catalog.ServiceName]*catalog.Refusal, len(parts))
	for name := range parts {
		outcome[name] = nil
	}
	results, err := p.conf.Catalog.Propose(ctx, cmds...)
	if err != nil || !slices.ContainsFunc(results, func(r catalog.Result) bool { return r.Refusal != nil }) {
		return outcome, err
	}
	cmds = nil
	var owners []catalog.ServiceName
	for name, part := range parts {
		for _, cmd := range part.Commands() {
			cmds, owners = append(cmds, cmd), append(owners, name)
		}
	}
	if len(cmds) == 0 {
		return outcome, nil
	}
	results, err = p.conf.Catalog.Propose(ctx, cmds...)
	if err != nil {
		return nil, err
	}
	for i, r := range results {
		if r.Refusal != nil && outcome[owners[i]] == nil {
			outcome[owners[i]] = r.Refusal
		}
	}
	return outcome, nil
}

// settle notes what was refused and what no longer is.
func (p *publisher) settle(outcome map[catalog.ServiceName]*catalog.Refusal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, why := range outcome {
		before := p.refused[name].why
		delete(p.refused, name)
		if why != nil {
			p.refused[name] = refusal{why, time.Now()}
		}
		if (before == nil) != (why == nil) {
			p.notify(name)
		}
		if before == nil && why != nil {
			p.log.Warn("the catalog refuses an export", "namespace", name.Namespace, "name", name.Name, "err", why)
		}
	}
}

package controller

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

const (
	// resyncInterval is how often all records are compared without a change, and refused
	// ones are retried.
	resyncInterval = 30 * time.Second
	proposeRetry   = time.Second
	proposeTimeout = 10 * time.Second
)

// publisher writes the exports of this cluster into the catalog. Changes during a write
// are collected for the next one, so entries grow with the load.
type publisher struct {
	cfg      Config
	log      *slog.Logger
	onChange func(catalog.ServiceName) // called when an export becomes refused, or no longer is
	wake     notify.Signal             // set when want changes

	mu      sync.Mutex // guards all following
	want    map[catalog.ServiceName]mcs.Publication
	refused map[catalog.ServiceName]refusal
}

type refusal struct {
	reason *catalog.Refusal
	at     time.Time
}

func newPublisher(cfg Config, log *slog.Logger, onChange func(catalog.ServiceName)) *publisher {
	return &publisher{
		cfg:      cfg,
		log:      log,
		onChange: onChange,
		wake:     notify.NewSignal(),
		want:     make(map[catalog.ServiceName]mcs.Publication),
		refused:  make(map[catalog.ServiceName]refusal),
	}
}

// set sets the publication of a name. Without an export its records are deleted.
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
	p.wake.Notify()
}

// refusal returns the catalog's refusal of an export, nil if there is none.
func (p *publisher) refusal(name catalog.ServiceName) *catalog.Refusal {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused[name].reason
}

func (p *publisher) run(ctx context.Context) {
	notify.LoopBatched(ctx, coalesce, p.write, p.cfg.Catalog.Changed, p.wake.Changed)
}

// write writes the changes and returns the time until the next try.
func (p *publisher) write(ctx context.Context) time.Duration {
	view := p.cfg.Catalog.View()
	if _, member := view.Datacenter(p.cfg.Datacenter); !member {
		return resyncInterval
	}
	want, held := p.publications()
	changes := mcs.Diff(view, p.cfg.Datacenter, want, func(name catalog.ServiceName) bool { return held[name] })
	cmds := changes.Commands()
	if len(cmds) == 0 {
		return resyncInterval
	}
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	refusals, err := p.propose(ctx, changes, cmds)
	if err != nil {
		p.log.Debug("failed to write exports into the catalog", "commands", len(cmds), "err", err)
		return proposeRetry
	}
	p.updateRefused(refusals)
	return resyncInterval
}

// publications returns copies of all publications and of the names that are held: those
// refused less than resyncInterval ago.
func (p *publisher) publications() (want map[catalog.ServiceName]mcs.Publication, held map[catalog.ServiceName]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	held = make(map[catalog.ServiceName]bool)
	for name, r := range p.refused {
		held[name] = time.Since(r.at) < resyncInterval
	}
	return maps.Clone(p.want), held
}

// propose writes all changes at once and, if any is refused, those of each service
// separately. It returns the refusal of each written name, nil for none.
func (p *publisher) propose(ctx context.Context, changes mcs.Changes, cmds []*catalogpb.Command) (map[catalog.ServiceName]*catalog.Refusal, error) {
	parts := changes.ByName()
	refusals := make(map[catalog.ServiceName]*catalog.Refusal, len(parts))
	for name := range parts {
		refusals[name] = nil
	}
	results, err := p.cfg.Catalog.Propose(ctx, cmds...)
	if err != nil || !slices.ContainsFunc(results, func(r catalog.Result) bool { return r.Refusal != nil }) {
		return refusals, err
	}
	cmds = nil
	var owners []catalog.ServiceName
	for name, part := range parts {
		for _, cmd := range part.Commands() {
			cmds, owners = append(cmds, cmd), append(owners, name)
		}
	}
	if len(cmds) == 0 {
		return refusals, nil
	}
	results, err = p.cfg.Catalog.Propose(ctx, cmds...)
	if err != nil {
		return nil, err
	}
	for i, r := range results {
		if r.Refusal != nil && refusals[owners[i]] == nil {
			refusals[owners[i]] = r.Refusal
		}
	}
	return refusals, nil
}

// updateRefused records the results of a write.
func (p *publisher) updateRefused(refusals map[catalog.ServiceName]*catalog.Refusal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, reason := range refusals {
		before := p.refused[name].reason
		delete(p.refused, name)
		if reason != nil {
			p.refused[name] = refusal{reason, time.Now()}
		}
		if (before == nil) != (reason == nil) {
			p.onChange(name)
		}
		if before == nil && reason != nil {
			p.log.Warn("the catalog refused an export", "service", serviceText(name), "err", reason)
		}
	}
}

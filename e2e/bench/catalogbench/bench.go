//go:build linux

package catalogbench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// manyClients is the number of concurrent clients of the measurements of throughput.
const manyClients = 64

// Bench makes the measurements.
type Bench struct {
	cfg      Config
	result   *Result
	progress io.Writer
}

// New returns a Bench that stores what it measures in result.
func New(cfg Config, result *Result, progress io.Writer) *Bench {
	return &Bench{cfg: cfg, result: result, progress: progress}
}

// Run makes the measurements. It continues after failed ones and returns their errors.
func (b *Bench) Run(ctx context.Context) error {
	steps := map[string]func(context.Context, string) error{
		"lan": b.measureLAN, "wan": b.measureWAN, "cost": b.measureCost, "restart": b.measureRestart, "socket": b.measureSocket,
	}
	var errs []error
	for _, name := range Measurements() {
		if len(b.cfg.Only) > 0 && !slices.Contains(b.cfg.Only, name) {
			continue
		}
		if ctx.Err() != nil {
			return errors.Join(append(errs, context.Cause(ctx))...)
		}
		began := time.Now()
		dir := filepath.Join(b.cfg.Dir, name)
		err := os.Mkdir(dir, 0o700)
		if err == nil {
			err = steps[name](ctx, dir)
		}
		if err != nil {
			err = fmt.Errorf("measure %s: %w", name, err)
			errs = append(errs, err)
			b.logf("failed: %v", err)
		}
		b.logf("%s took %.0f s", name, time.Since(began).Seconds())
	}
	return errors.Join(errs...)
}

// pause waits for a time that is part of a measurement.
func pause(ctx context.Context, span time.Duration) error {
	select {
	case <-time.After(span):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (b *Bench) logf(format string, args ...any) { fmt.Fprintf(b.progress, format+"\n", args...) }

// pairing is a federation and an etcd cluster that are measured in turns.
type pairing struct {
	federation *federation
	etcd       *etcd
}

// start starts both.
func (b *Bench) start(ctx context.Context, dir string, o federationOptions) (p pairing, err error) {
	if p.federation, err = newFederation(ctx, dir, o); err != nil {
		return p, err
	}
	if p.etcd, err = newEtcd(ctx, dir, o.delay, o.countSyncs); err != nil {
		return p, errors.Join(err, p.federation.close())
	}
	return p, p.fill(ctx)
}

// fill writes all registrations once, so that all reads find them.
func (p pairing) fill(ctx context.Context) error {
	for n := range registrations / batchSize {
		if err := p.federation.client.batch(ctx, 0, n); err != nil {
			return err
		}
	}
	if err := p.federation.calls[following].Call("Member.Register", Nothing{}, &Nothing{}); err != nil {
		return err
	}
	for n := range registrations/transaction + 1 {
		if err := p.etcd.batch(ctx, 0, n); err != nil {
			return err
		}
	}
	return nil
}

func (p pairing) close() error { return errors.Join(p.federation.close(), p.etcd.close()) }

// row is one measurement, of one side.
type row struct {
	perSecond, ms string  // keys of the result; empty: not one
	factor        float64 // registrations in one call; 0: 1
	run           func(ctx context.Context) (Sample, error)
}

// outside returns a row whose load begins in this process.
func outside(clients int, span time.Duration, op operation) func(context.Context) (Sample, error) {
	return func(ctx context.Context) (Sample, error) { return load(ctx, clients, span, op), nil }
}

// inside returns a row whose load begins in the process of a member.
func (f *federation) inside(member int, l Load) func(context.Context) (Sample, error) {
	return func(context.Context) (Sample, error) { return f.run(member, l) }
}

// rounds makes all measurements of rows in turns.
func (b *Bench) rounds(ctx context.Context, p pairing, rows []row) error {
	for n := range b.cfg.Rounds {
		for _, r := range rows {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := b.measureSettled(ctx, p, r); err == nil {
				continue
			}
			// A leader may have changed meanwhile, as on a machine with too much load.
			if err := b.measureSettled(ctx, p, r); err != nil {
				return err
			}
		}
		b.logf("round %d of %d", n+1, b.cfg.Rounds)
	}
	return nil
}

// measureSettled makes one measurement while the first of each side leads.
func (b *Bench) measureSettled(ctx context.Context, p pairing, r row) error {
	err := errors.Join(p.federation.settle(ctx), p.etcd.settle(ctx))
	if err == nil {
		err = b.measure(ctx, r)
	}
	if err != nil {
		b.logf("failed: %v", err)
	}
	return err
}

func (b *Bench) measure(ctx context.Context, r row) error {
	s, err := r.run(ctx)
	if err == nil && s.Err != "" {
		err = errors.New(s.Err)
	}
	if err != nil {
		return fmt.Errorf("%s%s: %w", r.perSecond, r.ms, err)
	}
	if r.perSecond != "" {
		b.result.add(r.perSecond, s.PerSecond*max(r.factor, 1))
	}
	if r.ms != "" {
		b.result.add(r.ms, s.Median)
	}
	b.logf("  %-34s %10.1f/s %9.3f ms", r.perSecond+r.ms, s.PerSecond*max(r.factor, 1), s.Median)
	return nil
}

// profile makes the members write profiles of a span, if there is a directory for them.
func (b *Bench) profile(f *federation, name string, span time.Duration) error {
	if b.cfg.Profile == "" {
		return nil
	}
	for i := range members {
		file := filepath.Join(b.cfg.Profile, fmt.Sprintf("%s-%s.pprof", name, nameOf(i)))
		if err := f.calls[i].Call("Member.Profile", Profile{File: file, Span: span}, &Nothing{}); err != nil {
			return fmt.Errorf("profile: %w", err)
		}
	}
	return nil
}

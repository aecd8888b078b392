//go:build linux

package catalogbench

import (
	"context"
	"errors"
	"time"
)

// measureCost measures what one write of one client costs each member: syncs, which the
// kernel reports to a counter (see syncCounter), and bytes sent to the storage layer.
func (b *Bench) measureCost(ctx context.Context, dir string) (err error) {
	p, err := b.start(ctx, dir, federationOptions{countSyncs: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	for range b.cfg.Rounds {
		err := errors.Join(
			b.countCost("", p.federation.client.write, func() (cost, error) { return p.federation.cost() }, ctx),
			b.countCost("etcd_", p.etcd.write(leading), func() (cost, error) { return p.etcd.cost(ctx) }, ctx),
		)
		if err != nil {
			return err
		}
	}
	return nil
}

// cost is the sum of what all members have done.
type cost struct{ syncs, bytes float64 }

func (f *federation) cost() (sum cost, err error) {
	for i := range members {
		s, err := f.state(i)
		if err != nil {
			return sum, err
		}
		bytes, err := written(f.procs[i].pid())
		if err != nil {
			return sum, err
		}
		sum.syncs += float64(s.Syncs)
		sum.bytes += bytes
	}
	return sum, nil
}

func (e *etcd) cost(ctx context.Context) (sum cost, err error) {
	if sum.syncs, err = e.syncs(ctx); err != nil {
		return sum, err
	}
	for _, p := range e.procs {
		bytes, err := written(p.pid())
		if err != nil {
			return sum, err
		}
		sum.bytes += bytes
	}
	return sum, nil
}

func (b *Bench) countCost(prefix string, op operation, read func() (cost, error), ctx context.Context) error {
	before, err := read()
	if err != nil {
		return err
	}
	s := load(ctx, 1, b.cfg.Span, op)
	if s.Err != "" {
		return errors.New(s.Err)
	}
	after, err := read()
	if err != nil {
		return err
	}
	writes := float64(s.Count) * members
	syncs, bytes := (after.syncs-before.syncs)/writes, (after.bytes-before.bytes)/writes
	b.result.add(prefix+"fsyncs_per_write", syncs)
	b.result.add(prefix+"bytes_per_write", bytes)
	b.logf("  %-34s %10.2f syncs %9.0f bytes", prefix+"cost", syncs, bytes)
	return nil
}

// measureRestart measures how long a member that was killed takes until it serves
// what it has, and until it serves consistent reads, with many endpoints and entries in its log.
func (b *Bench) measureRestart(ctx context.Context, dir string) (err error) {
	f, err := newFederation(ctx, dir, federationOptions{snapshotThreshold: 1 << 32})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	const exports, entries = 100_000 / endpointsPerExport, 19_400
	if err := f.calls[following].Call("Member.Fill", exports, &Nothing{}); err != nil {
		return err
	}
	for {
		s, err := f.state(leading)
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		b.logf("  %d of %d entries", s.Index, entries)
		if s.Index >= entries {
			break
		}
		written, err := f.run(leading, Load{Kind: "write", Clients: 4, Span: 5 * time.Second})
		if err == nil && written.Err != "" {
			err = errors.New(written.Err)
		}
		if err != nil {
			return err
		}
	}
	for range b.cfg.Rounds {
		if err := b.restart(ctx, f, following); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bench) restart(ctx context.Context, f *federation, i int) error {
	f.procs[i].kill()
	began := time.Now()
	if err := f.spawn(ctx, i); err != nil {
		return err
	}
	if err := f.calls[i].Call("Member.Open", Nothing{}, &Nothing{}); err != nil {
		return err
	}
	stale := time.Since(began)
	if err := f.calls[i].Call("Member.Consistent", Nothing{}, &Nothing{}); err != nil {
		return err
	}
	consistent := time.Since(began)
	if err := pause(ctx, 2*time.Second); err != nil { // the garbage of the start is collected
		return err
	}
	memory, err := resident(f.procs[i].pid())
	if err != nil {
		return err
	}
	b.result.add("restart_ms", float64(stale)/float64(time.Millisecond))
	b.result.add("restart_consistent_ms", float64(consistent)/float64(time.Millisecond))
	b.result.add("memory_mb", memory)
	b.logf("  %-34s %10.0f ms %10.0f ms consistent %9.1f MiB", "restart", stale.Seconds()*1000, consistent.Seconds()*1000, memory)
	return nil
}

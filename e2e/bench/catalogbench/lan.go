//go:build linux

package catalogbench

import (
	"context"
	"errors"
	"time"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/e2e/benchmark"
)

// measureLAN measures writes and reads without a delay between the members.
func (b *Bench) measureLAN(ctx context.Context, dir string) (err error) {
	p, err := b.start(ctx, dir, federationOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := b.rounds(ctx, p, b.lanRows(p)); err != nil {
		return err
	}
	memory, err := resident(p.etcd.procs[leading].pid())
	if err != nil {
		return err
	}
	b.result.add("etcd_memory_mb", memory)
	return b.measureVisible(ctx, p.federation)
}

func (b *Bench) lanRows(p pairing) []row {
	f, e, span := p.federation, p.etcd, b.cfg.Span
	profiled := func(name string, run func(context.Context) (Sample, error)) func(context.Context) (Sample, error) {
		return func(ctx context.Context) (Sample, error) {
			if err := b.profile(f, name, span); err != nil {
				return Sample{}, err
			}
			return run(ctx)
		}
	}
	read := func(member, clients int, mode consensus.ReadMode) func(context.Context) (Sample, error) {
		return f.inside(member, Load{Kind: "read", Mode: mode, Clients: clients, Span: span})
	}
	write := func(member, clients int) func(context.Context) (Sample, error) {
		return f.inside(member, Load{Kind: "write", Clients: clients, Span: span})
	}
	return []row{
		{ms: "write_ms_median", run: outside(1, span, f.client.write)},
		{ms: "etcd_write_ms_median", run: outside(1, span, e.write(leading))},
		{ms: "commit_ms_median", run: write(leading, 1)},
		{ms: "follower_write_ms_median", run: write(following, 1)},
		{ms: "etcd_follower_write_ms_median", run: outside(1, span, e.write(following))},
		{perSecond: "single_writes_per_s", run: profiled("writes", outside(manyClients, span, f.client.write))},
		{perSecond: "etcd_single_writes_per_s", run: outside(manyClients, span, e.write(leading))},
		{perSecond: "follower_writes_per_s", run: profiled("follower", write(following, manyClients))},
		{perSecond: "etcd_follower_writes_per_s", run: outside(manyClients, span, e.write(following))},
		{perSecond: "batched_registrations_per_s", factor: batchSize, run: profiled("batch", outside(1, span, f.client.batch))},
		{perSecond: "etcd_batched_per_s", factor: transaction, run: outside(1, span, e.batch)},
		{ms: "read_ms_median", run: read(following, 1, consensus.ConsistentRead)},
		{ms: "etcd_read_ms_median", run: outside(1, span, e.read)},
		{perSecond: "consistent_reads_per_s", run: profiled("reads", read(following, manyClients, consensus.ConsistentRead))},
		{perSecond: "etcd_reads_per_s", run: outside(manyClients, span, e.read)},
		{perSecond: "lease_reads_per_s", run: read(following, manyClients, consensus.LeaseRead)},
		{perSecond: "stale_reads_per_s", run: profiled("stale", read(following, manyClients, consensus.StaleRead))},
		{ms: "stale_read_us_median", run: inMicroseconds(read(following, 1, consensus.StaleRead))},
	}
}

func inMicroseconds(run func(context.Context) (Sample, error)) func(context.Context) (Sample, error) {
	return func(ctx context.Context) (Sample, error) {
		s, err := run(ctx)
		s.Median *= 1000
		return s, err
	}
}

// visibleWrites is the number of changes whose arrival is measured in each round.
const visibleWrites = 100

// measureVisible measures the time from before a write by RPC until the last member has
// it. All processes have one clock.
func (b *Bench) measureVisible(ctx context.Context, f *federation) error {
	for i := range members {
		if err := f.calls[i].Call("Member.Watch", calling, &Nothing{}); err != nil {
			return err
		}
	}
	for range b.cfg.Rounds {
		for range visibleWrites {
			// At once two of them may arrive together, so that one is not seen.
			if err := errors.Join(f.client.write(ctx, 0, 0), pause(ctx, 10*time.Millisecond)); err != nil {
				return err
			}
		}
		if err := pause(ctx, time.Second); err != nil { // the last ones arrive; those that do not are not counted
			return err
		}
		last := make(map[int64]int64)
		arrivals := make(map[int64]int)
		for i := range members {
			arrived := make(map[int64]int64)
			if err := f.calls[i].Call("Member.Arrived", Nothing{}, &arrived); err != nil {
				return err
			}
			for value, at := range arrived {
				last[value] = max(last[value], at)
				arrivals[value]++
			}
		}
		var delays []float64
		for value, at := range last {
			if arrivals[value] == members {
				delays = append(delays, float64(at-value)/float64(time.Millisecond))
			}
		}
		if len(delays) < visibleWrites/2 {
			return errors.New("less than half of the changes arrived at all members")
		}
		b.result.add("visible_ms_median", benchmark.Median(delays))
		b.logf("  %-34s %10d %11.3f ms", "visible_ms_median", len(delays), benchmark.Median(delays))
	}
	return nil
}

//go:build linux

package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"time"

	"github.com/meshway/meshway/e2e/benchmark"
	"github.com/meshway/meshway/e2e/scale/workload"
)

// writesWithout is about as many writes as are made during a snapshot.
const writesWithout = 500

// writesAfter is more writes than are made while raft cuts the log after a snapshot.
const writesAfter = 100

// measureSnapshot writes one service after the other while raft takes a snapshot,
// and measures how much longer the slowest write takes than half of them.
func (b *bench) measureSnapshot(ctx context.Context) error {
	dir := filepath.Join(b.dir, "snapshot")
	m, err := start(ctx, b.size, dir, 1<<20)
	if err != nil {
		return err
	}
	err = fill(ctx, m, b.size)
	if err = errors.Join(err, m.stop()); err != nil {
		return err
	}
	if m, err = start(ctx, b.size, dir, 1<<20); err != nil { // takes none
		return err
	}
	b.result.NoSnapshotStall, err = b.median("stall without a snapshot", func() (time.Duration, error) {
		return slowest(ctx, m, b.size, writesWithout)
	})
	if err = errors.Join(err, m.stop()); err != nil {
		return err
	}
	if m, err = start(ctx, b.size, dir, 64); err != nil { // takes a snapshot soon
		return err
	}
	b.result.SnapshotStall, err = b.median("stall by a snapshot", func() (time.Duration, error) {
		return stall(ctx, m, b.size, dir)
	})
	return errors.Join(err, m.stop())
}

// stall writes until the data directory has another snapshot, and the log is cut. Only the
// writes since raft began it count: a snapshot comes after a minute or two, in which other
// programs delay a write for longer.
func stall(ctx context.Context, m *member, size workload.Size, dir string) (time.Duration, error) {
	before, err := snapshots(dir)
	if err != nil {
		return 0, err
	}
	var took []float64
	for n, after := 0, 0; after < writesAfter; n++ {
		begin := time.Now()
		if err := propose(ctx, m, size.Change(n)); err != nil {
			return 0, err
		}
		took = append(took, float64(time.Since(begin)))
		now, err := snapshots(dir)
		if err != nil {
			return 0, err
		}
		begun, err := filepath.Glob(filepath.Join(dir, "snapshots", "*.tmp"))
		if err != nil {
			return 0, err
		}
		switch {
		case !slices.Equal(before, now):
			after++
		case len(begun) == 0:
			took = took[:0]
		}
	}
	return excess(took), nil
}

// slowest makes a number of writes.
func slowest(ctx context.Context, m *member, size workload.Size, writes int) (time.Duration, error) {
	var took []float64
	for n := range writes {
		begin := time.Now()
		if err := propose(ctx, m, size.Change(n)); err != nil {
			return 0, err
		}
		took = append(took, float64(time.Since(begin)))
	}
	return excess(took), nil
}

// excess returns how much longer the slowest write takes than half of them.
func excess(took []float64) time.Duration {
	slices.Sort(took)
	return time.Duration(took[len(took)-1] - benchmark.Median(took))
}

// snapshots returns the complete snapshots of a data directory.
func snapshots(dir string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(dir, "snapshots", "*", "meta.json"))
	return slices.DeleteFunc(found, unfinished), err
}

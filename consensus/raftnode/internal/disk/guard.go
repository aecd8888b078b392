package disk

import (
	"fmt"
	"runtime"

	"github.com/hashicorp/raft"
)

// guard is raft's access to the disk. Raft panics when it cannot store its term
// or read an entry, and continues with a wrong state of its log when appending
// fails after a truncation. The guard stops the node instead: it passes the first
// error to fail, which ends Run, and ends raft's goroutine.
type guard struct {
	raft.LogStore
	raft.StableStore
	path string // of the log
	fail func(error)
}

var (
	_ raft.MonotonicLogStore = (*guard)(nil)
	_ raft.LogStore          = (*guard)(nil)
	_ raft.StableStore       = (*guard)(nil)
)

func newGuard(s *Store, logs raft.LogStore, fail func(error)) *guard {
	return &guard{LogStore: logs, StableStore: s.bolt, path: s.logPath(), fail: fail}
}

// IsMonotonic implements raft.MonotonicLogStore: raft deletes a log that accepts no
// gap when it restores a snapshot.
func (g *guard) IsMonotonic() bool {
	monotonic, ok := g.LogStore.(raft.MonotonicLogStore)
	return ok && monotonic.IsMonotonic()
}

// GetLog implements raft.LogStore. Raft expects that an entry can be missing; any
// other error ends the goroutine.
func (g *guard) GetLog(index uint64, entry *raft.Log) error {
	err := g.protect(func() error { return g.LogStore.GetLog(index, entry) })
	if err != nil && err != raft.ErrLogNotFound { //nolint:errorlint // raft compares it so
		g.stop("read", err)
	}
	return err
}

func (g *guard) StoreLog(entry *raft.Log) error { return g.StoreLogs([]*raft.Log{entry}) }

func (g *guard) StoreLogs(entries []*raft.Log) error {
	return g.write(func() error { return g.LogStore.StoreLogs(entries) })
}

func (g *guard) DeleteRange(from, to uint64) error {
	return g.write(func() error { return g.LogStore.DeleteRange(from, to) })
}

func (g *guard) Set(key, value []byte) error {
	return g.write(func() error { return g.StableStore.Set(key, value) })
}

func (g *guard) SetUint64(key []byte, value uint64) error {
	return g.write(func() error { return g.StableStore.SetUint64(key, value) })
}

func (g *guard) write(f func() error) error {
	if err := g.protect(f); err != nil {
		g.stop("write", err)
	}
	return nil
}

// protect returns a panic of bbolt as an error.
func (g *guard) protect(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return f()
}

// stop reports err and ends the calling goroutine after its deferred calls: raft
// must not act on a disk that failed.
func (g *guard) stop(verb string, err error) {
	g.fail(fmt.Errorf("%s catalog store: %w", verb, explain(g.path, err)))
	runtime.Goexit()
}

package raftnode

import (
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/hashicorp/raft"
)

// guard is the disk as raft sees it. Raft panics when it cannot store its term
// or read an entry, and goes on with a wrong idea of its log when appending
// fails after a truncation. The guard makes the node stop instead: the first
// error goes to fail, which ends Run, and the goroutine of raft that must not
// go on ends where it stands.
type guard struct {
	raft.LogStore
	raft.StableStore
	path string
	fail func(error)
}

var (
	_ raft.LogStore    = (*guard)(nil)
	_ raft.StableStore = (*guard)(nil)
)

func newGuard(s *store, logs raft.LogStore, fail func(error)) *guard {
	return &guard{LogStore: logs, StableStore: s.bolt, path: filepath.Join(s.dir, logFile), fail: fail}
}

// GetLog ends the goroutine on anything but a missing entry, which raft expects.
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

// protect turns a panic of bbolt into an error.
func (g *guard) protect(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return f()
}

// stop reports err and ends the calling goroutine; its deferred calls run.
// Nothing of raft may act on a disk that it cannot trust.
func (g *guard) stop(verb string, err error) {
	g.fail(fmt.Errorf("%s catalog store: %w", verb, explain(g.path, err)))
	runtime.Goexit()
}

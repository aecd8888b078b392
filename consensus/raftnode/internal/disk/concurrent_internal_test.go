package disk

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// heldLog is a log in memory whose writes wait for an error, which is nil for success.
type heldLog struct {
	*raft.InmemStore
	results chan error
	batches [][]uint64
}

func (l *heldLog) StoreLogs(entries []*raft.Log) error {
	if err := <-l.results; err != nil {
		return err
	}
	var indexes []uint64
	for _, e := range entries {
		indexes = append(indexes, e.Index)
	}
	l.batches = append(l.batches, indexes)
	return l.InmemStore.StoreLogs(entries)
}

type concurrentFixture struct {
	held   *heldLog
	log    *concurrentLog
	leads  bool
	failed []error
}

// inConcurrentLog runs test with the log of a leader that has written entry 1.
func inConcurrentLog(t *testing.T, test func(t *testing.T, f *concurrentFixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &concurrentFixture{held: &heldLog{InmemStore: raft.NewInmemStore(), results: make(chan error)}, leads: true}
		f.log = newConcurrentLog(f.held)
		require.NoError(t, f.log.begin(func() bool { return f.leads }, func(err error) { f.failed = append(f.failed, err) }))
		f.store(t, 1)
		f.held.results <- nil
		synctest.Wait()
		test(t, f)
	})
}

// store stores a command, whose write has begun when it returns if no other is running.
func (f *concurrentFixture) store(t *testing.T, index uint64) {
	t.Helper()
	require.NoError(t, f.log.StoreLog(&raft.Log{Index: index, Term: 3, Type: raft.LogCommand}))
	synctest.Wait()
}

// begun calls call and returns a channel with its error.
func begun(call func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- call() }()
	synctest.Wait()
	return done
}

func TestALeaderWritesCommandsAfterItHasStoredThem(t *testing.T) {
	inConcurrentLog(t, func(t *testing.T, f *concurrentFixture) {
		f.store(t, 2)
		f.store(t, 3)
		f.store(t, 4)
		last, err := f.log.LastIndex()
		require.NoError(t, err)
		assert.Equal(t, uint64(4), last)
		for index := uint64(1); index <= 4; index++ {
			var entry raft.Log
			require.NoError(t, f.log.GetLog(index, &entry))
			assert.Equal(t, index, entry.Index)
		}
		require.ErrorIs(t, f.log.GetLog(5, new(raft.Log)), raft.ErrLogNotFound)

		assert.Equal(t, uint64(1), f.log.written(4))
		require.NoError(t, f.log.awaitWritten(1))
		second, fourth := begun(func() error { return f.log.awaitWritten(2) }), begun(func() error { return f.log.awaitWritten(4) })
		assert.Empty(t, second)
		f.held.results <- nil
		require.NoError(t, <-second)
		synctest.Wait()
		assert.Empty(t, fourth)
		assert.Equal(t, uint64(2), f.log.written(4))
		f.held.results <- nil
		require.NoError(t, <-fourth)
		assert.Equal(t, uint64(4), f.log.written(4))
		assert.Equal(t, [][]uint64{{1}, {2}, {3, 4}}, f.held.batches, "what waits is written at once")
	})
}

func TestOtherAccessWaitsForWhatALeaderWrites(t *testing.T) {
	for name, access := range map[string]func(f *concurrentFixture) error{
		"an entry of a follower": func(f *concurrentFixture) error {
			f.leads = false
			return f.log.StoreLog(&raft.Log{Index: 3, Type: raft.LogCommand})
		},
		"a configuration": func(f *concurrentFixture) error {
			return f.log.StoreLog(&raft.Log{Index: 3, Type: raft.LogConfiguration})
		},
		"a barrier": func(f *concurrentFixture) error { return f.log.StoreLog(&raft.Log{Index: 3, Type: raft.LogBarrier}) },
		"the first entry of a term": func(f *concurrentFixture) error {
			return f.log.StoreLogs([]*raft.Log{{Index: 3, Type: raft.LogNoop}, {Index: 4, Type: raft.LogCommand}})
		},
		"a deletion":  func(f *concurrentFixture) error { return f.log.DeleteRange(1, 1) },
		"flush":       func(f *concurrentFixture) error { return f.log.flush() },
		"first index": func(f *concurrentFixture) error { _, err := f.log.FirstIndex(); return err },
		"next raft":   func(f *concurrentFixture) error { return f.log.begin(f.log.leads, f.log.fail) },
	} {
		t.Run(name, func(t *testing.T) {
			inConcurrentLog(t, func(t *testing.T, f *concurrentFixture) {
				f.store(t, 2)
				done := begun(func() error { return access(f) })
				assert.Empty(t, done)
				f.held.results <- nil
				synctest.Wait()
				assert.Equal(t, [][]uint64{{1}, {2}}, f.held.batches)
				close(f.held.results)
				require.NoError(t, <-done)
				assert.Equal(t, uint64(2), f.log.written(2))
			})
		})
	}
}

func TestALeaderHasBoundedEntriesInMemory(t *testing.T) {
	inConcurrentLog(t, func(t *testing.T, f *concurrentFixture) {
		for index := range uint64(maxUnwritten) {
			f.store(t, 2+index)
		}
		stored := begun(func() error { return f.log.StoreLog(&raft.Log{Index: 2 + maxUnwritten}) })
		assert.Empty(t, stored)
		f.held.results <- nil
		require.NoError(t, <-stored)
		close(f.held.results)
		require.NoError(t, f.log.flush())
	})
}

func TestAFailedWriteEndsTheUseOfTheLog(t *testing.T) {
	inConcurrentLog(t, func(t *testing.T, f *concurrentFixture) {
		broken := errors.New("broken")
		f.store(t, 2)
		machine := writtenMachine{FSM: &raft.MockFSM{}, log: f.log}
		applied := begun(func() error { return machine.Apply(&raft.Log{Index: 2}).(error) })
		f.held.results <- broken
		require.ErrorIs(t, <-applied, broken)
		synctest.Wait()
		assert.Equal(t, []error{broken}, f.failed)
		_, err := machine.Snapshot()
		require.ErrorIs(t, err, broken)
		require.ErrorIs(t, f.log.StoreLog(&raft.Log{Index: 3}), broken)
		f.leads = false
		require.ErrorIs(t, f.log.StoreLog(&raft.Log{Index: 3}), broken)
		require.ErrorIs(t, f.log.flush(), broken)
		assert.Equal(t, uint64(1), f.log.written(3))
	})
}

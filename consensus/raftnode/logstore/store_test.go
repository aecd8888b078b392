package logstore_test

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/raftnode/logstore"
)

func create(t *testing.T) (*logstore.Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "log")
	s, err := logstore.Create(dir, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s, dir
}

func reopen(t *testing.T, s *logstore.Store, dir string) *logstore.Store {
	t.Helper()
	require.NoError(t, s.Close())
	s, err := logstore.Open(dir, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func requireBounds(t *testing.T, s *logstore.Store, first, last uint64) {
	t.Helper()
	have, err := s.FirstIndex()
	require.NoError(t, err)
	require.Equal(t, first, have)
	have, err = s.LastIndex()
	require.NoError(t, err)
	require.Equal(t, last, have)
}

func TestAnEntryIsReadAsItWasStored(t *testing.T) {
	s, dir := create(t)
	want := []*raft.Log{
		{Index: 7, Term: 1, Type: raft.LogConfiguration, Data: []byte("data"), Extensions: []byte("more"), AppendedAt: time.Unix(5, 6).UTC()},
		{Index: 8, Term: 1},
		{Index: 9, Term: 1 << 40, Type: raft.LogNoop, Extensions: []byte{0}},
		{Index: 10, Term: 1 << 40, Data: bytes.Repeat([]byte("x"), 9<<20)}, // larger than a segment
		{Index: 11, Term: 1 << 40, Data: make([]byte, 8)},
	}
	require.NoError(t, s.StoreLogs(want[:3]))
	require.NoError(t, s.StoreLogs(want[3:]))
	for range 2 {
		requireBounds(t, s, 7, 11)
		for _, entry := range want {
			var have raft.Log
			require.NoError(t, s.GetLog(entry.Index, &have))
			require.Equal(t, *entry, have)
		}
		require.Equal(t, raft.ErrLogNotFound, s.GetLog(6, &raft.Log{}))
		require.Equal(t, raft.ErrLogNotFound, s.GetLog(12, &raft.Log{}))
		s = reopen(t, s, dir)
	}
}

func TestAGapIsRefusedExceptInAnEmptyLog(t *testing.T) {
	s, dir := create(t)
	require.True(t, s.IsMonotonic())
	require.ErrorContains(t, s.StoreLog(&raft.Log{}), "store log entry 0")
	require.NoError(t, s.StoreLog(&raft.Log{Index: 5}))
	require.ErrorContains(t, s.StoreLog(&raft.Log{Index: 7}), "store log entry 7: the last one is 5")
	require.ErrorContains(t, s.StoreLog(&raft.Log{Index: 5}), "the last one is 5")
	require.NoError(t, s.StoreLogs([]*raft.Log{{Index: 6}, {Index: 7}, {Index: 8}}))
	require.ErrorContains(t, s.DeleteRange(6, 7), "neither its beginning nor its end")
	require.NoError(t, s.DeleteRange(5, 8))
	s = reopen(t, s, dir)
	requireBounds(t, s, 0, 0)
	require.NoError(t, s.StoreLog(&raft.Log{Index: 100}))
	s = reopen(t, s, dir)
	requireBounds(t, s, 100, 100)
}

func TestWholeSegmentsOfADeletedBeginningAreRemoved(t *testing.T) {
	s, dir := create(t)
	data := make([]byte, 1<<20)
	for i := uint64(1); i <= 20; i++ {
		require.NoError(t, s.StoreLog(&raft.Log{Index: i, Data: data}))
	}
	count := func() int {
		found, err := filepath.Glob(filepath.Join(dir, "*.log"))
		require.NoError(t, err)
		return len(found)
	}
	require.Equal(t, 9, count(), "no, one, two, then three entries in each")
	require.NoError(t, s.DeleteRange(1, 10))
	requireBounds(t, s, 11, 20)
	require.Equal(t, 4, count())
	s = reopen(t, s, dir)
	requireBounds(t, s, 10, 20)
	require.NoError(t, s.DeleteRange(1, 20))
	require.Equal(t, 1, count())
}

func TestALogIsOpenInOneProcessOnly(t *testing.T) {
	s, dir := create(t)
	_, err := logstore.Open(dir, nil)
	require.ErrorIs(t, err, logstore.ErrLocked)
	require.NoError(t, s.StoreLog(&raft.Log{Index: 3}))
	s = reopen(t, s, dir)
	require.NoError(t, s.Close())
	require.Error(t, s.StoreLog(&raft.Log{Index: 4}))
	first, last, err := logstore.Inspect(dir)
	require.NoError(t, err)
	require.Equal(t, []uint64{3, 3}, []uint64{first, last})
	_, _, err = logstore.Inspect(t.TempDir())
	require.ErrorIs(t, err, logstore.ErrMissing)
	_, err = logstore.Open(filepath.Join(dir, "none"), nil)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// A process that was being started while the log was closed has the lock until it executes
// its program.
func TestALogOpensWhenItsLockIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dir := create(t)
		require.NoError(t, s.StoreLog(&raft.Log{Index: 3}))
		go func() {
			time.Sleep(100 * time.Millisecond)
			assert.NoError(t, s.Close())
		}()
		again, err := logstore.Open(dir, nil)
		require.NoError(t, err)
		requireBounds(t, again, 3, 3)
		require.NoError(t, again.Close())
	})
}

func TestASmallBatchCostsOneSync(t *testing.T) {
	s, _ := create(t)
	before := s.Stats()
	for i := uint64(1); i <= 500; i++ {
		require.NoError(t, s.StoreLog(&raft.Log{Index: i, Data: make([]byte, 400)}))
	}
	cost := s.Stats()
	require.Equal(t, uint64(500), cost.Syncs-before.Syncs)
	require.Less(t, cost.Bytes-before.Bytes, uint64(500*600))
}

// A start reads whole segments: those of a log with few entries are small.
func TestSegmentsGrowWithTheLog(t *testing.T) {
	s, dir := create(t)
	for i := uint64(1); i <= 120; i++ {
		require.NoError(t, s.StoreLog(&raft.Log{Index: i, Data: make([]byte, 100<<10)}))
	}
	segments, err := filepath.Glob(filepath.Join(dir, "*.log"))
	require.NoError(t, err)
	var sizes []int64
	for _, name := range segments {
		info, err := os.Stat(name)
		require.NoError(t, err)
		sizes = append(sizes, info.Size()>>10)
	}
	require.Equal(t, []int64{256, 512, 1024, 2048, 4096, 4096, 4096}, sizes)
	requireBounds(t, reopen(t, s, dir), 1, 120)
}

func TestEntriesAreReadWhileOthersAreStoredAndDeleted(t *testing.T) {
	s, _ := create(t)
	require.NoError(t, s.StoreLog(&raft.Log{Index: 1, Term: 1}))
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				last, err := s.LastIndex()
				if err != nil {
					t.Error(err)
				}
				var entry raft.Log
				if err := s.GetLog(last, &entry); err != nil && err != raft.ErrLogNotFound || err == nil && entry.Term != last { //nolint:errorlint // raft compares it so
					t.Errorf("entry %d: %v %v", last, entry, err)
				}
			}
		})
	}
	for i := uint64(2); i < 300; i++ {
		require.NoError(t, s.StoreLog(&raft.Log{Index: i, Term: i, Data: make([]byte, 100<<10)}))
		if i%50 == 0 {
			require.NoError(t, s.DeleteRange(1, i-10))
		}
	}
	close(done)
	wg.Wait()
}

package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/consensustest/memdisk"
)

const testSegment = 2048

// model is a log in memory, and what else a crash may leave of it.
type model struct {
	*raft.InmemStore
	pending []*raft.Log // any number of them from the first on may be stored
	cut     *raft.InmemStore
	seen    map[uint64]raft.Log // the last entry that was stored at each index
}

func newModel() *model { return &model{InmemStore: raft.NewInmemStore(), seen: map[uint64]raft.Log{}} }

func bounds(t *testing.T, s raft.LogStore) (first, last uint64) {
	t.Helper()
	first, err := s.FirstIndex()
	require.NoError(t, err)
	last, err = s.LastIndex()
	require.NoError(t, err)
	return first, last
}

// clone copies the entries of a log.
func clone(t *testing.T, s raft.LogStore) *raft.InmemStore {
	t.Helper()
	copied := raft.NewInmemStore()
	first, last := bounds(t, s)
	for i := first; i <= last && i > 0; i++ {
		var log raft.Log
		require.NoError(t, s.GetLog(i, &log))
		require.NoError(t, copied.StoreLog(&log))
	}
	return copied
}

// act does one operation on both, and returns the error of the store.
func (m *model) act(t *testing.T, s *Store, rng *rand.Rand, term uint64) error {
	t.Helper()
	first, last := bounds(t, m.InmemStore)
	m.pending, m.cut = nil, nil
	switch n := rng.IntN(10); {
	case n < 7 || first == 0:
		return m.store(s, batch(rng, last, term))
	case n == 7: // a beginning
		to := first + uint64(rng.IntN(int(last-first)+1))
		if to == last {
			return m.remove(t, s, first, last)
		}
		require.NoError(t, m.DeleteRange(first, to))
		return s.DeleteRange(first, to)
	case n == 8: // an end
		return m.remove(t, s, first+uint64(rng.IntN(int(last-first)+1)), last)
	default:
		return m.remove(t, s, first, last)
	}
}

func (m *model) store(s *Store, logs []*raft.Log) error {
	m.pending = logs
	if err := s.StoreLogs(logs); err != nil {
		return err
	}
	m.pending = nil
	for _, log := range logs {
		m.seen[log.Index] = *log
	}
	return m.StoreLogs(logs)
}

func (m *model) remove(t *testing.T, s *Store, from, to uint64) error {
	t.Helper()
	m.cut = clone(t, m.InmemStore)
	require.NoError(t, m.cut.DeleteRange(from, to))
	if err := s.DeleteRange(from, to); err != nil {
		return err
	}
	m.InmemStore, m.cut = m.cut, nil
	return nil
}

// batch returns entries after last; after an empty log, any index may follow.
func batch(rng *rand.Rand, last, term uint64) []*raft.Log {
	if last == 0 {
		last = uint64(rng.IntN(1000))
	}
	var logs []*raft.Log
	for i := range 1 + rng.IntN(4) {
		size := 40 // mostly: what is left of a batch is where a record of the next one can be
		switch rng.IntN(20) {
		case 0:
			size = rng.IntN(3 * testSegment)
		case 1, 2, 3, 4:
			size = rng.IntN(300)
		}
		log := &raft.Log{Index: last + 1 + uint64(i), Term: term, Type: raft.LogType(rng.IntN(6)), Data: make([]byte, size)}
		for j := range log.Data {
			log.Data[j] = byte(rng.IntN(3)) // many zeros
		}
		if rng.IntN(2) == 0 {
			log.Extensions, log.AppendedAt = []byte{1, 2, 3}, time.Unix(int64(rng.Uint32()), 5).UTC()
		}
		logs = append(logs, log)
	}
	return logs
}

// check requires that s holds what the model allows, and makes it the model.
func (m *model) check(t *testing.T, s *Store, seed string) {
	t.Helper()
	err := m.matches(s, m.InmemStore, 0)
	for n := range m.pending {
		if err == nil {
			break
		}
		err = m.matches(s, m.InmemStore, n+1)
	}
	if err != nil && m.cut != nil {
		err = m.matches(s, m.cut, 0)
	}
	require.NoError(t, err, seed)
	m.InmemStore, m.pending, m.cut = clone(t, s), nil, nil
	first, last := bounds(t, s)
	for i := first; i <= last && i > 0; i++ {
		var log raft.Log
		require.NoError(t, s.GetLog(i, &log))
		m.seen[i] = log
	}
}

// matches returns why s is not the log want and the first n pending entries. It may
// have older entries too, as they were stored.
func (m *model) matches(s *Store, want *raft.InmemStore, n int) error {
	expected := maps.Clone(m.seen)
	for _, log := range m.pending[:n] {
		expected[log.Index] = *log
	}
	wantFirst, _ := want.FirstIndex()
	wantLast, _ := want.LastIndex()
	if n > 0 {
		wantLast = m.pending[n-1].Index
		if wantFirst == 0 {
			wantFirst = m.pending[0].Index
		}
	}
	first, _ := s.FirstIndex()
	last, _ := s.LastIndex()
	if last != wantLast || first > wantFirst || first == 0 != (wantFirst == 0) {
		return fmt.Errorf("it has entries %d to %d, not %d to %d", first, last, wantFirst, wantLast)
	}
	for i := first; i <= last && i > 0; i++ {
		var have raft.Log
		if err := s.GetLog(i, &have); err != nil {
			return err
		}
		if !equal(have, expected[i]) {
			return fmt.Errorf("entry %d is another one", i)
		}
	}
	return nil
}

func equal(a, b raft.Log) bool {
	return a.Index == b.Index && a.Term == b.Term && a.Type == b.Type && a.AppendedAt.Equal(b.AppendedAt) &&
		bytes.Equal(a.Data, b.Data) && bytes.Equal(a.Extensions, b.Extensions)
}

// Each run crashes at one operation of the file system, and continues after it.
func TestNothingAcknowledgedIsLostByACrashAtAnyWriteOrSync(t *testing.T) {
	t.Parallel()
	for run := range uint64(500) {
		seed := fmt.Sprintf("run %d", run)
		rng := rand.New(rand.NewPCG(run, 1))
		m := newModel()
		dir := newMemory(rng)
		s, err := create(dir, testSegment)
		require.NoError(t, err)
		for term := range uint64(4) {
			dir.Left = 1 + rng.IntN(60)
			for err == nil {
				err = m.act(t, s, rng, term)
			}
			require.ErrorIs(t, err, memdisk.ErrCrashed, seed)
			require.Error(t, s.StoreLogs(batch(rng, 0, term)), "%s: it goes on after a failed write", seed)
			dir = dir.restart(rng.IntN(4) > 0)
			for crashes := 0; ; crashes++ { // opening may be interrupted too
				if crashes < 2 {
					dir.Left = 1 + rng.IntN(6)
				}
				if s, err = open(dir, testSegment); err == nil {
					break
				}
				require.ErrorIs(t, err, memdisk.ErrCrashed, seed)
				dir = dir.restart(rng.IntN(4) > 0)
			}
			dir.Left = -1
			m.check(t, s, seed)
			// What was read is durable.
			again, err := open(dir.restart(true), testSegment)
			require.NoError(t, err, seed)
			require.NoError(t, m.matches(again, m.InmemStore, 0), seed)
		}
	}
}

func TestAfterAFailedSyncNothingIsAcknowledged(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 2))
		dir, m := newMemory(rng), newModel()
		s, err := create(dir, testSegment)
		require.NoError(t, err)
		require.NoError(t, m.store(s, batch(rng, 10, 1)))
		failure := errors.New("input/output error")
		dir.failNext("sync", failure)
		_, last := bounds(t, m.InmemStore)
		require.ErrorIs(t, m.store(s, batch(rng, last, 1)), failure)
		require.ErrorIs(t, s.StoreLogs(batch(rng, last, 1)), failure)
		require.ErrorIs(t, s.DeleteRange(1, 1000), failure)
		// The next process still reads what was not written, and must not lose it later.
		dir = dir.restart(false)
		s, err = open(dir, testSegment)
		require.NoError(t, err)
		m.check(t, s, "")
		again, err := open(dir.restart(true), testSegment)
		require.NoError(t, err)
		require.NoError(t, m.matches(again, m.InmemStore, 0))
	}
}

func TestAFullDiskKeepsWhatWasStored(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	dir, m := newMemory(rng), newModel()
	s, err := create(dir, testSegment)
	require.NoError(t, err)
	dir.failNext("create", syscall.ENOSPC)
	for err == nil {
		_, last := bounds(t, m.InmemStore)
		err = m.store(s, batch(rng, last, 1))
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	_, last := bounds(t, s)
	require.ErrorIs(t, s.StoreLogs(batch(rng, last, 1)), syscall.ENOSPC, "space may be free again, but raft did not retry")
	s, err = open(dir.restart(true), testSegment)
	require.NoError(t, err)
	m.pending = nil
	m.check(t, s, "")
}

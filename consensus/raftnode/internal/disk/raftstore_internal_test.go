package disk

import (
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	bolterrors "go.etcd.io/bbolt/errors"
)

// brokenDisk fails or panics with err.
type brokenDisk struct {
	raft.LogStore
	raft.StableStore
	err   error
	panic bool
}

func (d brokenDisk) StoreLogs([]*raft.Log) error    { return d.fail() }
func (d brokenDisk) DeleteRange(_, _ uint64) error  { return d.fail() }
func (d brokenDisk) GetLog(uint64, *raft.Log) error { return d.fail() }
func (d brokenDisk) SetUint64([]byte, uint64) error { return d.fail() }
func (d brokenDisk) Set(_, _ []byte) error          { return d.fail() }
func (d brokenDisk) fail() error {
	if d.panic {
		panic(d.err.Error())
	}
	return d.err
}

func TestABrokenDiskStopsTheNodeAndNotTheProcess(t *testing.T) {
	for _, panics := range []bool{false, true} {
		disk := brokenDisk{err: syscall.ENOSPC, panic: panics}
		for name, use := range map[string]func(s *raftStore){
			"append": func(s *raftStore) { _ = s.StoreLog(&raft.Log{}) },
			"cut":    func(s *raftStore) { _ = s.DeleteRange(1, 2) },
			"read":   func(s *raftStore) { _ = s.GetLog(1, &raft.Log{}) },
			"vote":   func(s *raftStore) { _ = s.Set(nil, nil) },
			"term":   func(s *raftStore) { _ = s.SetUint64(nil, 1) },
		} {
			var reported error
			s := &raftStore{LogStore: disk, StableStore: disk, path: "/data/raft.db", fail: func(err error) { reported = err }}
			went := false
			var wg sync.WaitGroup
			wg.Go(func() {
				use(s)
				went = true
			})
			wg.Wait()
			assert.False(t, went, "%s: raft went on with a disk that failed", name)
			require.ErrorContains(t, reported, "/data/raft.db", name)
			if !panics {
				require.ErrorContains(t, reported, "free space", name)
			}
		}
	}
	missing := brokenDisk{err: raft.ErrLogNotFound}
	s := &raftStore{LogStore: missing, fail: func(err error) { t.Errorf("a missing entry is not an error: %v", err) }}
	require.Equal(t, raft.ErrLogNotFound, s.GetLog(1, &raft.Log{}))
}

func TestErrorsOfTheStoreNamePathAndRemedy(t *testing.T) {
	for _, tc := range []struct {
		err    error
		remedy string
	}{
		{bolterrors.ErrTimeout, "stop the other meshd"},
		{&os.PathError{Op: "open", Path: "x", Err: syscall.ENOSPC}, "free space there"},
		{&os.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, "belong to the user"},
		{&os.PathError{Op: "open", Path: "x", Err: syscall.EROFS}, "remount it"},
		{bolterrors.ErrInvalid, "meshd uninstall --force"},
		{bolterrors.ErrChecksum, "meshd uninstall --force"},
	} {
		err := explain("/data/raft.db", tc.err)
		require.ErrorContains(t, err, "/data/raft.db")
		require.ErrorContains(t, err, tc.remedy)
		require.ErrorIs(t, err, tc.err)
	}
}

// Raft deletes the end of a log for an entry of another term, and the beginning when it has a
// snapshot.
func TestTheEndOfALogIsNotDeletedFromAnEntryThatIsApplied(t *testing.T) {
	log := raft.NewInmemStore()
	for index := uint64(1); index <= 6; index++ {
		require.NoError(t, log.StoreLog(&raft.Log{Index: index, Term: 1}))
	}
	s := &raftStore{LogStore: log, applied: func() uint64 { return 4 }, fail: func(err error) { t.Error(err) }}
	require.ErrorIs(t, s.DeleteRange(4, 6), errApplied)
	require.NoError(t, s.GetLog(4, new(raft.Log)))
	require.NoError(t, s.GetLog(6, new(raft.Log)))
	require.NoError(t, s.DeleteRange(5, 6))
	require.ErrorIs(t, s.GetLog(5, new(raft.Log)), raft.ErrLogNotFound)
	require.NoError(t, s.DeleteRange(1, 2))
	require.ErrorIs(t, s.GetLog(2, new(raft.Log)), raft.ErrLogNotFound)
}

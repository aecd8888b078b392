package disk

import (
	"io"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"
)

// restored is a state machine that accepts any snapshot.
type restored struct{ machine }

func (restored) Restore(source io.ReadCloser) error { return source.Close() }

// addSnapshot stores a snapshot as raft does.
func addSnapshot(t *testing.T, s *Store, index uint64) {
	t.Helper()
	_, transport := raft.NewInmemTransport("")
	sink, err := s.snaps.Create(raft.SnapshotVersionMax, index, 7, raft.Configuration{}, 1, transport)
	require.NoError(t, err)
	_, err = sink.Write([]byte("state"))
	require.NoError(t, err)
	require.NoError(t, sink.Close())
}

// Raft stores a snapshot that it gets, and then deletes the log: the process may end
// between the two. In raft.db the entries stay.
func TestALogThatASnapshotHasReplacedTakesTheEntriesAfterIt(t *testing.T) {
	for _, kind := range []Kind{WAL, Bolt} {
		t.Run(string(kind), func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, kind)
			require.NoError(t, s.bolt.SetUint64([]byte("CurrentTerm"), 7))
			fill(t, s, 1, 100)
			addSnapshot(t, s, 5000)
			require.NoError(t, s.Close())

			s = open(t, dir, WAL)
			require.NoError(t, s.Replay(restored{}))
			fill(t, s, 5001, 5010)
			require.NoError(t, s.Close())
			s = open(t, dir, WAL)
			require.NoError(t, s.Replay(restored{}))
			requireEntries(t, s, 5001, 5010)
			require.NoError(t, s.Close())
		})
	}
}

func TestEntriesAfterASnapshotStay(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, WAL)
	require.NoError(t, s.bolt.SetUint64([]byte("CurrentTerm"), 7))
	fill(t, s, 1, 100)
	addSnapshot(t, s, 90)
	require.NoError(t, s.Replay(restored{}))
	requireEntries(t, s, 1, 100)
	require.NoError(t, s.Close())
}

package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"
)

// machine is a state machine that records what is applied.
type machine struct{ raft.FSM }

func (machine) Apply(*raft.Log) any { return nil }

func open(t *testing.T, dir string, kind Kind) *Store {
	t.Helper()
	s, err := Open(dir, kind, nil, hclog.NewNullLogger())
	require.NoError(t, err)
	return s
}

// reopen opens a directory as a start of meshd does, and closes it.
func reopen(t *testing.T, dir string, kind Kind) {
	t.Helper()
	s := open(t, dir, kind)
	require.NoError(t, s.Replay(machine{}))
	require.NoError(t, s.Close())
}

func fill(t *testing.T, s *Store, from, to uint64) {
	t.Helper()
	var entries []*raft.Log
	for i := from; i <= to; i++ {
		entries = append(entries, &raft.Log{Index: i, Term: 1 + i/100, Data: fmt.Appendf(nil, "entry %d", i)})
	}
	require.NoError(t, s.logs().StoreLogs(entries))
}

func requireEntries(t *testing.T, s *Store, first, last uint64) {
	t.Helper()
	have, err := s.logs().FirstIndex()
	require.NoError(t, err)
	require.Equal(t, first, have)
	have, err = s.logs().LastIndex()
	require.NoError(t, err)
	require.Equal(t, last, have)
	for i := first; i <= last; i++ {
		entry, found, err := s.Entry(i)
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, fmt.Sprintf("entry %d", i), string(entry.Data))
		require.Equal(t, 1+i/100, entry.Term)
	}
	term, err := s.bolt.GetUint64([]byte("CurrentTerm"))
	require.NoError(t, err)
	require.Equal(t, uint64(7), term, "the term and the vote stay where they are")
}

func TestAConversionContinuesAfterACrashBetweenAnyTwoSteps(t *testing.T) {
	for _, tc := range []struct {
		from, to Kind
		steps    func(*Store) []step
	}{{Bolt, WAL, (*Store).toWAL}, {WAL, Bolt, (*Store).toBolt}} {
		for done := range len(tc.steps(&Store{})) + 1 {
			t.Run(fmt.Sprintf("%s to %s after %d", tc.from, tc.to, done), func(t *testing.T) {
				dir := t.TempDir()
				// A log that was converted before, so that remains of it are there.
				s := open(t, dir, tc.to)
				require.NoError(t, s.bolt.SetUint64([]byte("CurrentTerm"), 7))
				fill(t, s, 1, 20)
				require.NoError(t, s.Close())
				s = open(t, dir, tc.from)
				fill(t, s, 21, 600)
				require.NoError(t, s.Close())

				s = open(t, dir, tc.from)
				for _, step := range tc.steps(s)[:done] {
					require.NoError(t, step.do(), step.name)
				}
				requireEntries(t, s, 1, 600)
				require.NoError(t, s.Close())
				for _, kind := range []Kind{"", tc.to, "", tc.from, tc.to} {
					s = open(t, dir, kind)
					requireEntries(t, s, 1, 600)
					require.NoError(t, s.Close())
				}
				reopen(t, dir, tc.to)
				s = open(t, dir, tc.to)
				requireEntries(t, s, 1, 600)
				fill(t, s, 601, 601)
				require.NoError(t, s.Close())
			})
		}
	}
}

func TestTheOldLogStaysUntilTheNewOneWasReadByTheNextStart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Bolt)
	require.NoError(t, s.bolt.SetUint64([]byte("CurrentTerm"), 7))
	fill(t, s, 1, 50)
	require.NoError(t, s.Close())
	kept := func() bool {
		s := open(t, dir, "")
		defer func() { require.NoError(t, s.Close()) }()
		first, err := s.bolt.FirstIndex()
		require.NoError(t, err)
		return first == 1
	}
	reopen(t, dir, WAL)
	require.True(t, kept(), "after the conversion")
	reopen(t, dir, WAL)
	require.False(t, kept(), "after the next start")
	reopen(t, dir, Bolt)
	require.DirExists(t, filepath.Join(dir, walDir))
	require.True(t, kept())
	reopen(t, dir, Bolt)
	require.NoDirExists(t, filepath.Join(dir, walDir))
	s = open(t, dir, Bolt)
	requireEntries(t, s, 1, 50)
	require.NoError(t, s.Close())
}

// Earlier builds read raft.db alone, and check that no entry is missing up to the last.
func TestEarlierBuildsRefuseADirectoryWithAWriteAheadLog(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Bolt)
	fill(t, s, 1, 5)
	require.NoError(t, s.Close())
	for range 3 {
		reopen(t, dir, WAL)
		s = open(t, dir, WAL)
		require.NoError(t, s.wal.Close())
		s.wal = nil // as such a build does
		require.ErrorContains(t, s.verifyLog(0), "is corrupt")
		require.NoError(t, s.Close())
	}
	reopen(t, dir, Bolt)
	s = open(t, dir, Bolt)
	require.NoError(t, s.verifyLog(0))
	require.NoError(t, s.Close())
}

// Raft leaves older entries in raft.db below a snapshot that was restored.
func TestEntriesBelowAGapAreNotConverted(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Bolt)
	require.NoError(t, s.bolt.SetUint64([]byte("CurrentTerm"), 7))
	fill(t, s, 1, 5)
	fill(t, s, 1030, 1040)
	first, last, err := withoutGap(s.bolt)
	require.NoError(t, err)
	require.Equal(t, []uint64{1030, 1040}, []uint64{first, last})
	require.ErrorContains(t, s.convert(s.toWAL()), "read entry 6 of 1040", "no snapshot has the entries between them")
	for _, step := range s.toWAL() {
		require.NoError(t, step.do())
	}
	requireEntries(t, s, 1030, 1040)
	require.ErrorContains(t, s.verifyLog(5), "begins with entry 1030, and the snapshot ends with 5")
	require.NoError(t, s.verifyLog(1029))
	require.NoError(t, s.Close())
}

func TestALogOfALaterBuildIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, WAL)
	require.NoError(t, s.setKind("paper"))
	require.NoError(t, s.Close())
	_, err := Open(dir, WAL, nil, hclog.NewNullLogger())
	require.ErrorContains(t, err, `its log is of kind "paper", which this build does not support: upgrade meshd`)
	_, err = HasState(dir)
	require.ErrorContains(t, err, "upgrade meshd")
}

func TestAMissingLogIsDamageAndNotAnEmptyLog(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, WAL)
	fill(t, s, 1, 3)
	require.NoError(t, s.Close())
	has, err := HasState(dir)
	require.NoError(t, err)
	require.True(t, has)
	require.NoError(t, os.Rename(filepath.Join(dir, walDir), filepath.Join(dir, "elsewhere")))
	_, err = Open(dir, WAL, nil, hclog.NewNullLogger())
	require.ErrorContains(t, err, filepath.Join(dir, walDir)+" is corrupt")
	_, err = HasState(dir)
	require.ErrorContains(t, err, "is corrupt")
}

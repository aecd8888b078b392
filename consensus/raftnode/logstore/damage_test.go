package logstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/consensustest/memdisk"
)

// filled returns a log of several segments, with a change of its end, and its entries.
func filled(t testing.TB) (memory, map[uint64]raft.Log) {
	t.Helper()
	dir := newMemory(rand.New(rand.NewPCG(1, 4)))
	s, err := create(dir, testSegment)
	require.NoError(t, err)
	for i := uint64(1); i <= 40; i++ {
		if i == 20 {
			require.NoError(t, s.DeleteRange(18, 19))
			require.NoError(t, s.StoreLogs([]*raft.Log{{Index: 18, Term: 2, Data: []byte("other")}, {Index: 19, Term: 2}}))
		}
		require.NoError(t, s.StoreLog(&raft.Log{Index: i, Term: 1 + i/20, Data: fmt.Appendf(nil, "%080d", i)}))
	}
	require.NoError(t, s.StoreLogs([]*raft.Log{{Index: 41, Term: 3, Data: make([]byte, 99)}, {Index: 42, Term: 3}}))
	require.GreaterOrEqual(t, len(dir.Files), 3)
	return dir.restart(false), entries(t, s)
}

// entries returns the entries of a log.
func entries(t testing.TB, s *Store) map[uint64]raft.Log {
	t.Helper()
	found := map[uint64]raft.Log{}
	first, _ := s.FirstIndex()
	last, _ := s.LastIndex()
	for i := first; i <= last && i > 0; i++ {
		var log raft.Log
		require.NoError(t, s.GetLog(i, &log))
		found[i] = log
	}
	return found
}

func names(m memory) []string {
	list, _ := m.List() // it never fails
	return list
}

func TestNoDamagedByteLosesAnEntrySilently(t *testing.T) {
	t.Parallel()
	dir, want := filled(t)
	refused := 0
	for _, name := range names(dir) {
		for i := range dir.Files[name].Seen {
			damaged := dir.restart(false)
			damaged.Files[name] = memdisk.Written(dir.Files[name].Seen)
			damaged.Files[name].Seen[i] ^= byte(1 + i%255)
			before := slices.Clone(damaged.Files[name].Seen)
			s, err := open(damaged, testSegment)
			if err == nil {
				require.Equal(t, want, entries(t, s), "%s at %d", name, i)
				continue
			}
			refused++
			var damage *DamageError
			require.ErrorAs(t, err, &damage)
			require.Contains(t, names(dir), damage.File)
			if damage.File == name {
				require.LessOrEqual(t, damage.Offset, i)
			}
			require.Equal(t, before, damaged.Files[name].Seen, "nothing is changed")
		}
	}
	assert.Greater(t, refused, 4000, "the records and the headers")
}

// After the power was lost, the mark may not be on the disk: then only the last batch
// can be damaged without notice, as if it had been torn.
func TestWithoutItsMarkOnlyTheLastBatchCanBeTaken(t *testing.T) {
	dir, want := filled(t)
	s, err := open(dir, testSegment)
	require.NoError(t, err)
	last := dir.Files[s.newest().name()]
	clear(last.Seen[s.newest().end:])
	batch, ok := s.index.find(41)
	require.True(t, ok)
	for i := segmentHeader; i < len(last.Seen); i++ {
		damaged := dir.restart(false)
		damaged.Files[s.newest().name()].Seen[i] ^= 0x80
		s, err := open(damaged, testSegment)
		if i < batch.offset {
			var damage *DamageError
			require.ErrorAs(t, err, &damage, "byte %d", i)
			continue
		}
		require.NoError(t, err)
		for index, entry := range entries(t, s) {
			require.Equal(t, want[index], entry)
		}
		require.GreaterOrEqual(t, len(entries(t, s)), 40)
	}
}

// The author of an entry must not be able to write data that proves anything.
func TestARecordInTheDataOfAnEntryIsNone(t *testing.T) {
	dir, want := filled(t)
	s, err := open(dir, testSegment)
	require.NoError(t, err)
	at := s.newest().end
	inner := at + recordHeader
	forged := appendRecord(nil, 0, inner, record{kind: kindMark, synced: inner})
	require.NoError(t, s.StoreLog(&raft.Log{Index: 43, Term: 3, Data: forged}))
	torn := dir.restart(false).Files[s.newest().name()]
	clear(torn.Seen[at:inner])
	clear(torn.Seen[inner+recordHeader:])
	dir.Files[s.newest().name()] = memdisk.Written(torn.Seen)
	s, err = open(dir, testSegment)
	require.NoError(t, err, "the entry was torn")
	require.Equal(t, want, entries(t, s))
}

func TestWhatATornBatchLeftIsErasedHoweverFarItReached(t *testing.T) {
	const size = 5*pageSize + 100
	dir := newMemory(rand.New(rand.NewPCG(1, 4)))
	s, err := create(dir, size)
	require.NoError(t, err)
	require.NoError(t, s.StoreLog(&raft.Log{Index: 1, Term: 1, Data: []byte("stored")}))
	end, want := s.newest().end, entries(t, s)
	for _, at := range []int{end + recordHeader, pageSize, size - 3*pageSize - 1, size - 3*pageSize, size - pageSize - 1, size - pageSize, size - 1} {
		torn := dir.restart(false)
		torn.Files[s.newest().name()].Seen[at] = 1
		opened, err := open(torn, size)
		require.NoError(t, err)
		require.Equal(t, want, entries(t, opened))
		left := torn.Files[s.newest().name()].Seen[end+recordHeader:] // behind the mark
		require.Empty(t, bytes.Trim(left, "\x00"), "byte %d", at)
	}
}

func TestALostOrShortenedFileIsRefused(t *testing.T) {
	dir, _ := filled(t)
	all := names(dir)
	for _, name := range all[1 : len(all)-1] {
		damaged := dir.restart(false)
		delete(damaged.Files, name)
		_, err := open(damaged, testSegment)
		require.ErrorContains(t, err, name+" is damaged at byte 0: the file is missing")
	}
	for _, name := range all {
		for _, size := range []int{0, 10, segmentHeader, 500, testSegment - 1} {
			damaged := dir.restart(false)
			damaged.Files[name] = memdisk.Written(dir.Files[name].Seen[:size])
			_, err := open(damaged, testSegment)
			require.ErrorContains(t, err, fmt.Sprintf("%s is damaged at byte 0: the file has %d bytes", name, size))
		}
	}
	_, err := open(newMemory(nil), testSegment)
	require.ErrorIs(t, err, ErrMissing)
	_, err = create(dir, testSegment)
	require.ErrorContains(t, err, "there is one")
}

// A later valid entry can be damage too: of another log, or with a gap.
func TestASegmentOfAnotherLogIsRefused(t *testing.T) {
	dir, _ := filled(t)
	all := names(dir)
	dir.Files[all[1]], dir.Files[all[2]] = dir.Files[all[2]], dir.Files[all[1]]
	_, err := open(dir, testSegment)
	require.ErrorContains(t, err, all[1]+" is damaged at byte 0: the header is that of "+all[2])
}

func TestGarbageBehindTheLastEntryIsRemoved(t *testing.T) {
	dir, want := filled(t)
	s, err := open(dir, testSegment)
	require.NoError(t, err)
	end := s.newest().end
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 5))
		torn := dir.restart(false)
		name := names(dir)[len(dir.Files)-1]
		content := torn.Files[name].Seen
		for i := end + rng.IntN(200); i < len(content); i++ {
			content[i] = byte(rng.Uint32())
		}
		last := memdisk.Written(content)
		torn.Files[name] = last
		s, err := open(torn, testSegment)
		require.NoError(t, err)
		require.Equal(t, want, entries(t, s))
		require.Empty(t, bytes.Trim(last.Seen[end+recordHeader:], "\x00"))
		require.NoError(t, s.StoreLog(&raft.Log{Index: 43, Term: 3}))
		again, err := open(torn.restart(true), testSegment)
		require.NoError(t, err)
		require.Len(t, entries(t, again), len(want)+1)
	}
}

func TestADamagedEntryIsNotReturned(t *testing.T) {
	dir, _ := filled(t)
	s, err := open(dir, testSegment)
	require.NoError(t, err)
	at, ok := s.index.find(7)
	require.True(t, ok)
	dir.Files[at.segment.name()].Seen[at.offset+20] ^= 1
	var damage *DamageError
	require.ErrorAs(t, s.GetLog(7, &raft.Log{}), &damage)
	require.Equal(t, at.offset, damage.Offset)
	require.NoError(t, s.GetLog(8, &raft.Log{}))
}

// FuzzOpen opens a log in which bytes are changed (three bytes for each: offset and
// value), or a file with that content as its last segment.
func FuzzOpen(f *testing.F) {
	dir, want := filled(f)
	all := names(dir)
	last := all[len(all)-1]
	f.Add([]byte{}, true)
	f.Add([]byte{0, 100, 1, 1, 44, 255}, true)
	f.Add(dir.Files[last].Seen, false)
	f.Add(dir.Files[last].Seen[:segmentHeader], false)
	f.Fuzz(func(t *testing.T, data []byte, change bool) {
		changed := dir.restart(false)
		content := slices.Clone(dir.Files[last].Seen)
		if !change {
			content = slices.Clone(data)
		}
		for i := 0; change && i+3 <= len(data); i += 3 {
			content[int(binary.LittleEndian.Uint16(data[i:]))%len(content)] = data[i+2]
		}
		changed.Files[last] = memdisk.Written(content)
		s, err := open(changed, testSegment)
		if err != nil {
			var damage *DamageError
			if !errors.As(err, &damage) {
				t.Fatalf("not the error of a damaged file: %v", err)
			}
			return
		}
		have := entries(t, s)
		for index, entry := range have {
			if !equal(entry, want[index]) {
				t.Fatalf("entry %d is %v, not %v", index, entry, want[index])
			}
		}
		end, _ := s.LastIndex()
		if err := s.StoreLog(&raft.Log{Index: end + 1, Term: 9}); err != nil {
			t.Fatal(err)
		}
		again, err := open(changed.restart(true), testSegment)
		if err != nil || len(entries(t, again)) != len(have)+1 {
			t.Fatalf("an entry after it is lost: %v", err)
		}
	})
}

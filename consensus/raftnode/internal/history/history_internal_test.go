package history

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// memory is a log, a file and the members.
type memory struct {
	entries  map[uint64]raft.Log
	first    uint64
	snapshot uint64 // index of the last one, whose entry the log has
	file     []byte
	writes   int
	fail     error // of a write
	members  map[catalog.DatacenterName]bool
	log      bytes.Buffer
}

func newMemory(members ...catalog.DatacenterName) *memory {
	m := &memory{entries: map[uint64]raft.Log{}, members: map[catalog.DatacenterName]bool{}}
	for _, name := range members {
		m.members[name] = true
	}
	return m
}

func (m *memory) Entry(index uint64) (raft.Log, bool, error) {
	entry, ok := m.entries[index]
	return entry, ok, nil
}

func (m *memory) FirstIndex() uint64                     { return m.first }
func (m *memory) SnapshotInLog() (uint64, error)         { return m.snapshot, nil }
func (m *memory) ReadEvents() ([]byte, string, error)    { return m.file, "/data/events.json", nil }
func (m *memory) isMember(n catalog.DatacenterName) bool { return m.members[n] }

func (m *memory) WriteEvents(data []byte) error {
	if m.fail == nil {
		m.file, m.writes = data, m.writes+1
	}
	return m.fail
}

func (m *memory) history() *History {
	return New(m, m.isMember, slog.New(slog.NewTextHandler(&m.log, nil)))
}

// apply writes an entry, and records it.
func (m *memory) apply(h *History, index uint64, cmds ...*catalogpb.Command) {
	data, err := catalog.Marshal(cmds...)
	if err != nil {
		panic(err) // of constants
	}
	m.entries[index] = raft.Log{Index: index, Type: raft.LogCommand, Data: data}
	if m.first == 0 {
		m.first = index
	}
	if h != nil {
		h.Record(index, cmds)
	}
}

// cut removes the entries up to an index, as raft does.
func (m *memory) cut(h *History, to uint64) {
	h.Save(m.first, to)
	for ; m.first <= to; m.first++ {
		delete(m.entries, m.first)
	}
}

func command(author catalog.GatewayID, subject string) *catalogpb.Command {
	cmd := catalog.NewLeave(catalog.DatacenterName(subject))
	cmd.Author, cmd.At = string(author), timestamppb.New(time.Unix(1700000000, 0))
	return cmd
}

func places(t *testing.T, h *History, q consensus.EventQuery) (found []string) {
	t.Helper()
	events, _, err := h.Events(q)
	require.NoError(t, err)
	for _, e := range events {
		found = append(found, fmt.Sprintf("%d %s %s", e.Index, e.Author, strings.TrimPrefix(e.Subject, "datacenter ")))
	}
	return found
}

func TestTheNewestEventsOfADatacenterPrecedeOlderOnesOfOthers(t *testing.T) {
	m := newMemory("west", "east")
	h := m.history()
	m.apply(h, 1, command("west/gw1", "a"), command("east/gw1", "b"), command("west/gw2", "c"))
	for i := range uint64(1000) {
		m.apply(h, 2+i, command("east/gw1", "x"))
	}
	quiet := []string{"1 west/gw1 a", "1 west/gw2 c"}
	assert.Equal(t, quiet, places(t, h, consensus.EventQuery{Author: "west"}))
	assert.Equal(t, quiet[1:], places(t, h, consensus.EventQuery{Author: "west/gw2"}))
	for limit, want := range map[int]int{258: 256, 300: 298, consensus.MaxEvents: 1001} {
		got := places(t, h, consensus.EventQuery{Limit: limit})
		require.Len(t, got, want+2, "limit %d", limit)
		assert.Contains(t, got, quiet[0])
		assert.Contains(t, got, quiet[1])
		assert.Equal(t, "1001 east/gw1 x", got[len(got)-1])
	}
	all := places(t, h, consensus.EventQuery{Limit: consensus.MaxEvents})
	assert.Equal(t, []string{"1 west/gw1 a", "1 east/gw1 b", "1 west/gw2 c", "2 east/gw1 x"}, all[:4], "in the order of the log")
	assert.Equal(t, all[len(all)-10:], places(t, h, consensus.EventQuery{Limit: 10}))
}

func TestWhatTheLogNoLongerHasIsInTheFile(t *testing.T) {
	m := newMemory("west", "east")
	h := m.history()
	early := command("west/gw1", "early")
	early.At = &timestamppb.Timestamp{Seconds: math.MaxInt64, Nanos: 1} // JSON has no text for it
	m.apply(h, 1, early)
	for i := range uint64(1000) {
		m.apply(h, 2+i, command("east/gw1", "x"))
	}
	m.cut(h, 900)
	require.Equal(t, 1, m.writes)
	m.cut(h, 950)
	assert.Equal(t, 1, m.writes, "the file has them")
	h.Save(5000, 5001) // entries that were not committed
	assert.Equal(t, 1, m.writes)
	m.apply(h, 1002, command("west/gw1", "late"))
	m.apply(nil, 1003, command("west/gw1", "after the snapshot"))
	m.snapshot = 1002
	before, _, err := h.Events(consensus.EventQuery{Limit: consensus.MaxEvents})
	require.NoError(t, err)

	h = m.history()
	h.Load()
	after, _, err := h.Events(consensus.EventQuery{Limit: consensus.MaxEvents})
	require.NoError(t, err)
	assert.Equal(t, before, after)
	assert.Len(t, after, 2+256)
	m.apply(h, 1002, command("west/gw1", "twice"))
	m.apply(h, 1003, command("west/gw1", "after the snapshot"))
	assert.Equal(t, []string{"1 west/gw1 early", "1002 west/gw1 late", "1003 west/gw1 after the snapshot"},
		places(t, h, consensus.EventQuery{Author: "west"}))
	assert.Empty(t, m.log.String())
}

func TestADamagedFileCostsItsEventsOnly(t *testing.T) {
	m := newMemory("west", "east")
	h := m.history()
	m.apply(h, 1, command("west/gw1", "early"))
	m.apply(h, 2, command("east/gw1", "x"))
	m.cut(h, 1)
	m.apply(h, 3, command("east/gw1", "y"))
	m.snapshot = 3
	whole := m.file
	for at := range whole {
		m.file, m.log = bytes.Clone(whole), bytes.Buffer{}
		m.file[at] ^= 1
		h := m.history()
		h.Load()
		require.Equal(t, []string{"2 east/gw1 x", "3 east/gw1 y"}, places(t, h, consensus.EventQuery{}), "byte %d", at)
		require.Equal(t, 1, strings.Count(m.log.String(), "/data/events.json"), "byte %d", at)
	}
	m.log = bytes.Buffer{}
	m.file = whole[:len(whole)/2]
	h = m.history()
	h.Load()
	assert.Contains(t, m.log.String(), "run meshctl events on another gateway")
	m.cut(h, 2)
	m.log = bytes.Buffer{}
	h = m.history()
	h.Load()
	assert.Empty(t, m.log.String(), "the cut has replaced it")
	assert.Len(t, places(t, h, consensus.EventQuery{}), 2)
}

func TestAFileThatCannotBeWrittenIsWrittenAtTheNextCut(t *testing.T) {
	m := newMemory("west")
	h := m.history()
	m.apply(h, 1, command("west/gw1", "a"))
	m.apply(h, 2, command("west/gw1", "b"))
	m.fail = errors.New("the disk is full")
	m.cut(h, 1)
	assert.Contains(t, m.log.String(), "the disk is full")
	assert.Len(t, places(t, h, consensus.EventQuery{}), 2)
	m.fail = nil
	m.cut(h, 2)
	h = m.history()
	h.Load()
	assert.Len(t, places(t, h, consensus.EventQuery{}), 2)
}

func TestManyAuthorsUseBoundedMemory(t *testing.T) {
	m := newMemory("west", "east")
	h := m.history()
	m.apply(h, 1, command("west/gw1", "a"))
	index := uint64(1)
	for i := range 1000 {
		for range 3 {
			index++
			m.apply(h, index, command(catalog.GatewayID(fmt.Sprintf("dc%d/gw1", i)), strings.Repeat("é", 1<<10)))
		}
	}
	check := func() {
		t.Helper()
		assert.Len(t, h.rings, maxFormer+1)
		assert.Equal(t, []string{"1 west/gw1 a"}, places(t, h, consensus.EventQuery{Author: "west"}), "a member keeps its events")
		newest := places(t, h, consensus.EventQuery{Author: "dc999"})
		require.Len(t, newest, 3)
		assert.Less(t, len(newest[0]), 300)
		assert.Len(t, places(t, h, consensus.EventQuery{Author: "dc936"}), 3, "the last ones that left keep theirs")
	}
	check()
	for range 2 * perAuthor {
		index++
		m.apply(h, index, command("east/gw1", "x"))
	}
	assert.Len(t, h.rings["east"].events, perAuthor)
	delete(h.rings, "east")
	m.cut(h, index)
	assert.Less(t, len(m.file), 1<<17)
	h = m.history()
	h.Load()
	check()
}

// The members are known when the snapshot has been read, which is after the file.
func TestTheEventsOfManyMembersAreLoaded(t *testing.T) {
	m := newMemory()
	for i := range 200 {
		m.members[catalog.DatacenterName(fmt.Sprintf("dc%d", i))] = true
	}
	h := m.history()
	for i := range 100 {
		m.apply(h, uint64(i+1), command(catalog.GatewayID(fmt.Sprintf("dc%d/gw1", i)), "x"))
	}
	m.cut(h, 100)
	for i := range 100 {
		m.apply(h, uint64(i+101), command(catalog.GatewayID(fmt.Sprintf("dc%d/gw1", i+100)), "x"))
	}
	m.snapshot = 200
	members := m.members
	m.members = nil
	h = m.history()
	h.Load()
	m.members = members
	m.apply(h, 201, command("new/gw1", "x"))
	assert.Len(t, places(t, h, consensus.EventQuery{Limit: 1000}), 201)
}

func TestAQueryContinuesWithoutGapOrRepetition(t *testing.T) {
	m := newMemory("west", "east")
	h := m.history()
	var want, got []string
	index, after := uint64(1), uint64(1)
	m.apply(h, 1)
	poll := func(author string) {
		for range 100 {
			events, through, err := h.Events(consensus.EventQuery{After: after, Limit: 7, Author: author})
			require.NoError(t, err)
			for _, e := range events {
				got = append(got, fmt.Sprintf("%d %s", e.Index, e.Author))
			}
			after = through
			if len(events) < 7 {
				require.Equal(t, index, after)
				return
			}
			require.LessOrEqual(t, len(events), 7+2)
		}
		t.Fatal("it does not end")
	}
	for round := range 30 {
		for range 20 {
			index++
			m.apply(h, index, command("west/gw1", "a"), command("east/gw1", "b"), command("west/gw1", "c"))
			want = append(want, fmt.Sprintf("%d west/gw1", index), fmt.Sprintf("%d east/gw1", index), fmt.Sprintf("%d west/gw1", index))
		}
		if round%3 != 0 {
			m.cut(h, index-uint64(round%5))
		}
		poll("")
		require.Equal(t, want, got, "round %d", round)
	}
	h.Replaced(5000) // with entries of the log that were not committed
	m.apply(nil, 4000, command("west/gw1", "uncommitted"))
	m.apply(h, 5001, command("west/gw1", "a"))
	index = 5001
	poll("west")
	assert.Equal(t, append(want, "5001 west/gw1"), got)
	assert.NotContains(t, places(t, h, consensus.EventQuery{Limit: consensus.MaxEvents}), "4000 west/gw1 uncommitted")
	h = m.history() // has less than its client: the applied mark is older
	got = nil
	_, through, err := h.Events(consensus.EventQuery{After: 5001})
	require.NoError(t, err)
	assert.EqualValues(t, 5001, through)
}

// The catalog in a snapshot may be that of a later entry than the last one of the snapshot.
func TestTheEventsAfterASnapshotWithALaterCatalogAreListed(t *testing.T) {
	m := newMemory("west", "east")
	h := m.history()
	for index := uint64(1); index <= 9; index++ {
		m.apply(h, index, command("west/gw1", "a"))
	}
	m.snapshot = 6
	h = m.history() // starts again
	h.Load()
	h.Replaced(9)
	for index := uint64(7); index <= 9; index++ {
		require.Less(t, h.Last(), index, "the machine records what is after Last")
		h.Record(index, commands(m.entries[index]))
	}
	m.apply(h, 10, command("east/gw1", "b"))
	var want []string
	for index := range 9 {
		want = append(want, fmt.Sprintf("%d west/gw1 a", index+1))
	}
	assert.Equal(t, append(want, "10 east/gw1 b"), places(t, h, consensus.EventQuery{}))
	m.cut(h, 8)
	h = m.history()
	m.snapshot = 8
	h.Load()
	assert.Equal(t, append(want, "10 east/gw1 b"), places(t, h, consensus.EventQuery{}), "those of the file")
}

// Record is a part of each command.
func BenchmarkRecord(b *testing.B) {
	m := newMemory("west")
	h := m.history()
	cmds := make([]*catalogpb.Command, 64)
	for i := range cmds {
		cmds[i] = command("west/gw1", "a")
	}
	b.ReportAllocs()
	index := uint64(0)
	for b.Loop() {
		index++
		h.Record(index, cmds)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(cmds)), "ns/command")
}

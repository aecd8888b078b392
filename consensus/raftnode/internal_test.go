package raftnode

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
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
		for name, use := range map[string]func(g *guard){
			"append": func(g *guard) { _ = g.StoreLog(&raft.Log{}) },
			"cut":    func(g *guard) { _ = g.DeleteRange(1, 2) },
			"read":   func(g *guard) { _ = g.GetLog(1, &raft.Log{}) },
			"vote":   func(g *guard) { _ = g.Set(nil, nil) },
			"term":   func(g *guard) { _ = g.SetUint64(nil, 1) },
		} {
			var reported error
			g := &guard{LogStore: disk, StableStore: disk, path: "/data/raft.db", fail: func(err error) { reported = err }}
			went := false
			var wg sync.WaitGroup
			wg.Go(func() {
				use(g)
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
	g := &guard{LogStore: missing, fail: func(err error) { t.Errorf("a missing entry is not an error: %v", err) }}
	require.Equal(t, raft.ErrLogNotFound, g.GetLog(1, &raft.Log{}))
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
		{bolterrors.ErrInvalid, "move the directory away"},
		{bolterrors.ErrChecksum, "move the directory away"},
	} {
		err := explain("/data/raft.db", tc.err)
		require.ErrorContains(t, err, "/data/raft.db")
		require.ErrorContains(t, err, tc.remedy)
		require.ErrorIs(t, err, tc.err)
	}
}

func TestAStateMachineThatFailedMakesNoSnapshotAndAppliesNothing(t *testing.T) {
	var reported error
	m := newFSM(func(err error) { reported = err })
	answer := m.Apply(&raft.Log{Index: 5, Data: []byte{0xff}})
	require.Error(t, answer.(error))
	require.ErrorIs(t, reported, answer.(error))
	nothing, err := catalog.Marshal()
	require.NoError(t, err)
	require.Error(t, m.Apply(&raft.Log{Index: 6, Data: nothing}).(error))
	_, err = m.Snapshot()
	require.Error(t, err, "raft would record entry 6 as applied")
	require.Zero(t, m.state.View().Index())
}

func TestWaitingProposalsShareAnEntryUpToTheLimit(t *testing.T) {
	b := newBatcher()
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	const callers, size = 10, 60 << 10
	for range callers {
		wg.Go(func() {
			cmd := &catalogpb.Command{Client: strings.Repeat("x", size)}
			select {
			case b.queue <- newProposal([]*catalogpb.Command{cmd}):
			case <-ctx.Done():
			}
		})
	}
	seen := 0
	var next *proposal
	for seen < callers {
		var entry []*proposal
		entry, next = b.collect(ctx, next)
		total := 0
		for _, p := range entry {
			total += p.size
		}
		assert.LessOrEqual(t, total, maxEntry)
		seen += len(entry)
	}
	assert.Nil(t, next)
}

func TestSplitCommandsKeepsTheOrderAndTheLimit(t *testing.T) {
	var cmds []*catalogpb.Command
	for i := range 20 {
		cmds = append(cmds, &catalogpb.Command{Sequence: uint64(i + 1), Client: strings.Repeat("x", 30<<10)})
	}
	var sequence uint64
	for _, piece := range splitCommands(cmds) {
		assert.LessOrEqual(t, sizeOf(piece), maxEntry)
		for _, cmd := range piece {
			sequence++
			assert.Equal(t, sequence, cmd.GetSequence())
		}
	}
	assert.EqualValues(t, 20, sequence)
	assert.Empty(t, splitCommands(nil))
}

func TestTheSessionAcknowledgesOnlyReleasedSequences(t *testing.T) {
	s := newSession("east/gw0")
	one := []*catalogpb.Command{{}}
	a, releaseA := s.stamp(one, time.Unix(1, 0))
	b, releaseB := s.stamp(one, time.Unix(1, 0))
	assert.EqualValues(t, 1, a[0].GetSequence())
	assert.EqualValues(t, 2, b[0].GetSequence())
	assert.Equal(t, "east/gw0", a[0].GetAuthor())
	assert.Zero(t, one[0].GetSequence(), "the caller's command is not changed")
	releaseB()
	c, releaseC := s.stamp(one, time.Unix(1, 0))
	assert.Zero(t, c[0].GetAcknowledged(), "1 is outstanding")
	releaseA()
	d, _ := s.stamp(one, time.Unix(1, 0))
	assert.EqualValues(t, 2, d[0].GetAcknowledged())
	releaseC()
	e, _ := s.stamp(one, time.Unix(1, 0))
	assert.EqualValues(t, 3, e[0].GetAcknowledged())
	assert.NotEqual(t, s.client, newSession("east/gw0").client, "each process is a client of its own")
}

func TestRaftDebugMessagesAreHiddenAndRepeatedWarningsAreShownOnce(t *testing.T) {
	var out bytes.Buffer
	log := newLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo})))
	log.Trace("t")
	log.Debug("d")
	assert.Empty(t, out.String())
	log.Info("i", "term", 3)
	assert.Contains(t, out.String(), "raft.term=3")
	out.Reset()
	for range 10 {
		log.Error("failed to heartbeat to", "peer", "a/1", "err", errors.New("x"))
		log.With("k", "v").Error("failed to heartbeat to", "peer", "b/1")
	}
	assert.Equal(t, 2, strings.Count(out.String(), "\n"), "once for each peer")
	assert.False(t, log.IsDebug())
	assert.Equal(t, "raft.autopilot", log.Named("autopilot").Name())
}

func TestTimersAreValid(t *testing.T) {
	for _, timers := range []Timers{LAN(), WAN()} {
		require.NoError(t, timers.validate())
	}
	bad := LAN()
	bad.Lease = time.Minute
	require.ErrorContains(t, bad.validate(), "LeaderLeaseTimeout")
	bad = LAN()
	bad.HeartbeatInterval = bad.Lease / 2
	require.ErrorContains(t, bad.validate(), "HeartbeatInterval")
}

func TestOpenNamesTheMissingField(t *testing.T) {
	_, err := Open(Config{})
	require.ErrorContains(t, err, "ID is empty")
	_, err = Open(Config{ID: "a/1"})
	require.ErrorContains(t, err, "Dir is empty")
}

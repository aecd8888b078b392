package raftnode

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

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
	s := newSession("east/gw0", time.Unix(1, 0))
	first := s.last
	one := []*catalogpb.Command{{}}
	a, releaseA := s.stamp(one, time.Unix(1, 0))
	b, releaseB := s.stamp(one, time.Unix(1, 0))
	assert.Equal(t, first+1, a[0].GetSequence())
	assert.Equal(t, first+2, b[0].GetSequence())
	assert.Equal(t, "east/gw0", a[0].GetAuthor())
	assert.Zero(t, one[0].GetSequence(), "the caller's command is not changed")
	releaseB()
	c, releaseC := s.stamp(one, time.Unix(1, 0))
	assert.Equal(t, first, c[0].GetAcknowledged(), "the first is outstanding")
	releaseA()
	d, _ := s.stamp(one, time.Unix(1, 0))
	assert.Equal(t, first+2, d[0].GetAcknowledged())
	releaseC()
	e, _ := s.stamp(one, time.Unix(1, 0))
	assert.Equal(t, first+3, e[0].GetAcknowledged())
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

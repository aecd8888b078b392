package proposals

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

func TestWaitingProposalsShareAnEntryUpToTheLimit(t *testing.T) {
	b := NewBatcher()
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	const callers, size = 10, 60 << 10
	for range callers {
		wg.Go(func() {
			cmd := &catalogpb.Command{Client: strings.Repeat("x", size)}
			select {
			case b.queue <- New([]*catalogpb.Command{cmd}):
			case <-ctx.Done():
			}
		})
	}
	seen := 0
	var next *Proposal
	for seen < callers {
		var entry []*Proposal
		entry, next = b.collect(ctx, next)
		total := 0
		for _, p := range entry {
			total += p.size
		}
		assert.LessOrEqual(t, total, MaxEntry)
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
	for _, piece := range Split(cmds) {
		assert.LessOrEqual(t, Size(piece), MaxEntry)
		for _, cmd := range piece {
			sequence++
			assert.Equal(t, sequence, cmd.GetSequence())
		}
	}
	assert.EqualValues(t, 20, sequence)
	assert.Empty(t, Split(nil))
}

func TestTheSessionAcknowledgesOnlyReleasedSequences(t *testing.T) {
	s := NewSession("east/gw0", time.Unix(1, 0))
	first := s.last
	one := []*catalogpb.Command{{}}
	a, releaseA := s.Stamp(one, time.Unix(1, 0))
	b, releaseB := s.Stamp(one, time.Unix(1, 0))
	assert.Equal(t, first+1, a[0].GetSequence())
	assert.Equal(t, first+2, b[0].GetSequence())
	assert.Equal(t, "east/gw0", a[0].GetAuthor())
	assert.Zero(t, one[0].GetSequence(), "the caller's command is not changed")
	releaseB()
	c, releaseC := s.Stamp(one, time.Unix(1, 0))
	assert.Equal(t, first, c[0].GetAcknowledged(), "the first is outstanding")
	releaseA()
	d, _ := s.Stamp(one, time.Unix(1, 0))
	assert.Equal(t, first+2, d[0].GetAcknowledged())
	releaseC()
	e, _ := s.Stamp(one, time.Unix(1, 0))
	assert.Equal(t, first+3, e[0].GetAcknowledged())
}

package proposals

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
		entry, next = b.collect(ctx, next, 0)
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

// path is a log that decides an entry after a time.
type path struct {
	delay   time.Duration
	written chan int // the number of proposals in each entry
}

func (p path) Write(entry []*Proposal, release func()) {
	p.written <- len(entry)
	time.AfterFunc(p.delay, release)
}

// onPath calls test with a function that proposes a number of commands, and with the
// sizes of the entries.
func onPath(t *testing.T, delay time.Duration, test func(propose func(commands int), written <-chan int)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b, log := NewBatcher(), path{delay, make(chan int, 100)}
		var wg sync.WaitGroup
		wg.Go(func() { b.Run(ctx, log) })
		test(func(commands int) {
			wg.Go(func() {
				select {
				case b.queue <- New(make([]*catalogpb.Command, commands)):
				case <-ctx.Done():
				}
			})
			synctest.Wait()
		}, log.written)
		cancel()
		time.Sleep(delay) // the last entry is decided
		wg.Wait()
	})
}

func TestOnALongPathEntriesShareARoundTrip(t *testing.T) {
	for delay, meanwhile := range map[time.Duration]int{longPath / 2: 3, longPath: 0} {
		onPath(t, delay, func(propose func(int), written <-chan int) {
			propose(1)
			<-written
			time.Sleep(delay + time.Nanosecond) // it is decided
			propose(1)
			<-written
			for range 3 {
				propose(1)
			}
			assert.Len(t, written, meanwhile)
			if meanwhile == 0 {
				time.Sleep(delay)
				synctest.Wait()
				assert.Equal(t, 3, <-written)
			}
		})
	}
}

func TestOnALongPathAnEntryWaitsForFurtherCallersAfterOneOfSeveralCommands(t *testing.T) {
	const delay = 100 * time.Millisecond
	onPath(t, delay, func(propose func(int), written <-chan int) {
		for _, commands := range []int{1, 5} { // one after the other: they are not delayed
			propose(commands)
			require.Len(t, written, 1)
			<-written
			time.Sleep(delay + time.Nanosecond) // it is decided
		}
		propose(1)
		time.Sleep(maxLinger - time.Nanosecond)
		propose(1)
		assert.Empty(t, written)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.Equal(t, 2, <-written)
	})
}

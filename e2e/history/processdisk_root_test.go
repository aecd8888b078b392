//go:build linux && root

package history_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/harness"
	"github.com/meshway/meshway/e2e/history"
)

var errNoLeader = errors.New("none does")

// slowDisk makes writes of an agent wait, one after the other.
func (f *federation) slowDisk(ctx context.Context) {
	a, _ := f.two()
	writing, cancel := context.WithCancel(ctx)
	defer cancel()
	longest := make(chan time.Duration, 1)
	go func() {
		var most time.Duration
		for n := 0; writing.Err() == nil; n++ {
			began := time.Now()
			f.memberOf(a).writeLong(writing, 0, n)
			most = max(most, time.Since(began))
		}
		longest <- most
	}()
	const least = 300 * time.Millisecond
	for range 4 {
		require.NoError(f.t, f.disks[a.Name].Stall(least+time.Duration(f.random.IntN(700))*time.Millisecond))
		sleep(ctx, time.Duration(f.random.IntN(200))*time.Millisecond)
	}
	cancel()
	require.Greater(f.t, <-longest, least/2, "a write of %s waits for the disk", a.Name)
}

func (f *federation) memberOf(dc *harness.Datacenter) *agent {
	return f.members[slices.Index(f.owners, dc)]
}

// fullDisk fills the disk of an agent. Its log has room until the end of a segment. The
// agent ends then, and again after each start until there is room.
func (f *federation) fullDisk(ctx context.Context) {
	a, b := f.two()
	disk := f.disks[a.Name]
	before := len(a.Agent.Log())
	require.NoError(f.t, disk.Fill())
	f.write(b, a.Agent.Done())
	require.Contains(f.t, a.Agent.Log()[before:], diskFull)
	before = len(a.Agent.Log())
	f.start(a, true) // refused only if it needs room for it
	f.write(b, a.Agent.Done())
	require.Contains(f.t, a.Agent.Log()[before:], diskFull)
	f.pause(ctx)
	require.NoError(f.t, disk.Free())
	require.Empty(f.t, f.start(a, true))
}

const diskFull = "the disk is full: free space there and start again; nothing is lost"

// write makes the log of all members longer until done.
func (f *federation) write(by *harness.Datacenter, done <-chan struct{}) {
	ctx, cancel := f.within(healTime)
	defer cancel()
	member := f.memberOf(by)
	var running sync.WaitGroup
	for i := range 4 {
		running.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				member.writeLong(ctx, i, n)
			}
		})
	}
	select {
	case <-done:
	case <-ctx.Done():
		assert.Fail(f.t, "no write was refused") // require would not end the writers
	}
	cancel()
	running.Wait()
}

func (f *federation) tornWrite(ctx context.Context)  { f.damage(ctx, history.Tear) }
func (f *federation) changedBit(ctx context.Context) { f.damage(ctx, history.Flip) }

// damage kills an agent, changes one of its files and starts it again. The others have a
// quorum without it. One that refuses to start joins again as a new member, as its error
// describes.
func (f *federation) damage(ctx context.Context, harm func(*rand.Rand, string) (string, error)) {
	f.repair()
	f.awaitHealthyVoters()
	a := f.owners[1+f.random.IntN(len(f.owners)-1)] // the first one invited the others, which count as one when they remove it
	a.Agent.Kill()
	f.pause(ctx)
	what, err := harm(f.random, f.disks[a.Name].Path("meshway", "raft"))
	require.NoError(f.t, err)
	require.NotEmpty(f.t, what, "a file was damaged")
	refusal := f.start(a, true)
	f.t.Logf("%s of %s; it refused to start: %t", what, a.Name, refusal != "")
	f.damaged[a.Name] = what
	if refusal != "" {
		f.replace(a, refusal)
	}
}

// replace makes a member whose agent has ended because of its damaged files a new one, as
// its error describes.
func (f *federation) replace(dc *harness.Datacenter, reason string) {
	what := f.damaged[dc.Name]
	require.NotEmpty(f.t, what, "meshd of %s ended: %s", dc.Name, reason)
	require.Contains(f.t, reason, "is corrupt", what)
	require.Contains(f.t, reason, "then meshd uninstall --force here, and join again", what)
	delete(f.damaged, dc.Name)
	// Its services are removed with the datacenter, and registered again when it is back.
	prefix := f.prefix(slices.Index(f.owners, dc))
	f.round.keys.End(func(key string) bool { return strings.HasPrefix(key, prefix) })
	f.rejoin(dc)
	f.injected["a damaged member was replaced"]++
}

// replaceEnded replaces the members that have found damage after their start.
func (f *federation) replaceEnded() {
	for _, dc := range f.owners {
		if dc.Agent.Err() != nil {
			log := dc.Agent.Log()
			f.replace(dc, log[max(0, len(log)-2000):])
		}
	}
}

// awaitHealthyVoters waits until the log of any member can be lost.
func (f *federation) awaitHealthyVoters() {
	ctx, cancel := f.within(healTime)
	defer cancel()
	require.NoError(f.t, harness.Wait(ctx, "all voters are healthy", func(ctx context.Context) error {
		snapshot, err := f.leader().Status(ctx)
		if err != nil {
			return err
		}
		if snapshot.Catalog.Voters < len(f.owners) || snapshot.Catalog.HealthyVoters != snapshot.Catalog.Voters {
			return errUnhealthy
		}
		return nil
	}))
}

var errUnhealthy = errors.New("some are not")

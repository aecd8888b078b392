package raftnode_test

import (
	"context"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/consensus/raftnode"
)

// pausedDisk is a disk whose writes wait while it is paused.
type pausedDisk struct {
	fullDisk
	paused atomic.Pointer[context.Context] // its end resumes; nil: it writes
}

func (d *pausedDisk) Wait() {
	if paused := d.paused.Load(); paused != nil {
		<-(*paused).Done()
	}
}

func (d *pausedDisk) pause() (resume func()) {
	paused, resume := context.WithCancel(context.Background())
	d.paused.Store(&paused)
	return resume
}

// withPausedLeader runs test while the disk of the leader of three members does not write
// "after", which has been proposed, and the followers have.
func withPausedLeader(t *testing.T, store raftnode.LogStore, test func(c *consensustest.Cluster, leader *consensustest.Member, disk *pausedDisk, resume func(), outcome <-chan error)) {
	t.Helper()
	disks := make(map[catalog.GatewayID]*pausedDisk)
	c := consensustest.New(t, 3, consensustest.Options{LogStore: store, Host: func(id catalog.GatewayID) raftnode.Host {
		disks[id] = &pausedDisk{}
		return raftnode.Host{Disk: disks[id]}
	}})
	leader, key := c.Leader(), consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
	write(t, leader, key, "before")
	c.WaitEqual()
	time.Sleep(2 * time.Second) // for the mark of what is applied, which is written too
	last := func() (all []uint64) {
		for _, p := range leader.Node.Status().Peers {
			if p.ID != leader.ID {
				all = append(all, p.LastIndex)
			}
		}
		return all
	}
	before, disk := last(), disks[leader.ID]
	resume := disk.pause()
	defer resume() // or the member cannot end
	outcome := make(chan error, 1)
	go func() {
		_, err := leader.Node.Propose(context.Background(), key.Set("after"))
		outcome <- err
	}()
	time.Sleep(400 * time.Millisecond)
	for i, index := range last() {
		assert.Greater(t, index, before[i], "a follower has it before the leader has written it")
	}
	assert.Empty(t, outcome)
	for _, m := range c.Members {
		assert.Equal(t, "before", key.Get(m.Node.View()), "%s applies what the leader has not written", m.ID)
	}
	view, _, err := leader.Node.Read(context.Background(), consensus.LeaseRead)
	require.NoError(t, err)
	assert.Equal(t, "before", key.Get(view))
	if t.Failed() {
		return
	}
	test(c, leader, disk, resume, outcome)
	if t.Failed() {
		return
	}
	c.WaitEqual()
	assert.Equal(t, "after", key.Get(c.Leader().Node.View()))
}

func TestALeaderSendsAnEntryWhileItWritesItAndCountsItAfterwards(t *testing.T) {
	withEachStore(t, func(t *testing.T, store raftnode.LogStore) {
		withPausedLeader(t, store, func(_ *consensustest.Cluster, _ *consensustest.Member, _ *pausedDisk, resume func(), outcome <-chan error) {
			resume()
			require.NoError(t, <-outcome)
		})
	})
}

func TestALeaderThatCannotWriteWhatItHasSentEnds(t *testing.T) {
	withEachStore(t, func(t *testing.T, store raftnode.LogStore) {
		withPausedLeader(t, store, func(c *consensustest.Cluster, leader *consensustest.Member, disk *pausedDisk, resume func(), outcome <-chan error) {
			disk.full.Store(true)
			resume()
			require.ErrorIs(t, <-outcome, consensus.ErrUncertain)
			require.ErrorIs(t, leader.Wait(), syscall.ENOSPC)
			c.Leader() // of the others, which have the entry
			disk.full.Store(false)
			leader.Restart()
		})
	})
}

package feed_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog/feed"
	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/consensus/raftnode"
)

// journal follows one register through any member, and resumes at another one from the
// last index that it has.
type journal struct {
	t       *testing.T
	index   uint64
	values  []string
	watcher *feed.Watcher
}

// at watches at m, whose copy is current.
func (j *journal) at(m *consensustest.Member) {
	j.t.Helper()
	_, _, err := m.Node.Read(context.Background(), consensus.ConsistentRead)
	require.NoError(j.t, err)
	j.watcher, err = m.Node.Feed().Watch(feed.Filter{Namespace: "test"}, j.index)
	require.NoError(j.t, err)
}

// until reads until the register has a value.
func (j *journal) until(value string) {
	j.t.Helper()
	for len(j.values) == 0 || j.values[len(j.values)-1] != value {
		b, err := j.watcher.Next()
		require.NoError(j.t, err)
		require.GreaterOrEqual(j.t, b.Index, j.index, "in order")
		j.index = b.Index
		for _, c := range b.Changes {
			j.values = append(j.values, c.After.Service.Labels["value"])
		}
		if len(b.Changes) == 0 {
			<-j.watcher.Changed()
		}
	}
}

func set(t *testing.T, m *consensustest.Member, key consensustest.Key, value int) {
	t.Helper()
	results, err := m.Node.Propose(context.Background(), key.Set(fmt.Sprint(value)))
	require.NoError(t, err)
	require.Nil(t, results[0].Refusal)
}

func others(c *consensustest.Cluster, not *consensustest.Member) []*consensustest.Member {
	return slices.DeleteFunc(slices.Clone(c.Members), func(m *consensustest.Member) bool { return m == not })
}

func numbers(from, to int) []string {
	var all []string
	for i := from; i <= to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

func TestAWatchContinuesAtAnotherMemberOverFailoverAndRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
		j := &journal{t: t, index: c.Members[0].Node.View().Index()}
		j.at(c.Members[0])
		for i := range 5 {
			set(t, c.Members[i%3], key, i)
		}
		j.until("4")
		j.at(c.Members[1])
		leader := c.Leader()
		leader.Kill()
		rest := others(c, leader)
		c.LeaderOf(rest...)
		j.at(rest[0])
		for i := 5; i < 10; i++ {
			set(t, rest[i%2], key, i)
		}
		leader.Restart()
		j.at(leader) // from its own log
		j.until("9")
		for _, m := range c.Members {
			m.Stop()
		}
		for _, m := range c.Members {
			m.Restart()
		}
		set(t, c.Members[2], key, 10)
		j.at(c.Members[2])
		j.until("10")
		require.Equal(t, numbers(0, 10), j.values, "each change once and in order")
	})
}

func TestAMemberThatGetsASnapshotHasTheLatestStateForItsWatchers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timers := raftnode.LAN()
		timers.SnapshotInterval, timers.TrailingLogs = time.Second, 4
		c := consensustest.New(t, 3, consensustest.Options{Timers: timers, SnapshotThreshold: 8})
		key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
		lagging := others(c, c.Leader())[0]
		j := &journal{t: t, index: lagging.Node.View().Index()}
		j.at(lagging)
		set(t, c.Leader(), key, 0)
		j.until("0")
		c.Network.Isolate(lagging.ID)
		for i := 1; i <= 60; i++ {
			set(t, c.Leader(), key, i)
			time.Sleep(100 * time.Millisecond)
		}
		c.Network.Rejoin(lagging.ID)
		j.until("60")
		set(t, c.Leader(), key, 61)
		j.until("61")
		last := j.values[len(j.values)-2:]
		require.Equal(t, []string{"60", "61"}, last)
		require.Less(t, len(j.values), 60, "the member got a snapshot")
		_, err := lagging.Node.Feed().Watch(feed.Filter{}, j.index-30)
		var lost *feed.LostError
		require.ErrorAs(t, err, &lost)
	})
}

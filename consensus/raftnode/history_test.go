package raftnode_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/consensus/raftnode"
)

// cutSoon returns options with which a member takes a snapshot after few entries and cuts
// its log.
func cutSoon(store raftnode.LogStore) consensustest.Options {
	timers := raftnode.LAN()
	timers.SnapshotInterval, timers.TrailingLogs = time.Second, 4
	return consensustest.Options{Timers: timers, SnapshotThreshold: 8, LogStore: store}
}

// floods are more commands than a query of 512 events returns, and than are kept of a
// datacenter when the log is cut.
const floods = 600

// flood makes m write n commands, in entries of up to 50.
func flood(t *testing.T, m *consensustest.Member, n int) {
	t.Helper()
	key := consensustest.Key{Owner: m.ID, Name: "flood"}
	var cmds []consensustest.Command
	for i := range n {
		cmds = append(cmds, key.Set(fmt.Sprint(i)))
		if len(cmds) < 50 && i < n-1 {
			continue
		}
		results, err := m.Node.Propose(context.Background(), cmds...)
		require.NoError(t, err)
		for _, r := range results {
			require.Nil(t, r.Refusal)
		}
		cmds = nil
	}
}

// writeThree makes m write three commands, and returns their indexes.
func writeThree(t *testing.T, m *consensustest.Member) (indexes []uint64) {
	t.Helper()
	for i := range 3 {
		result := write(t, m, consensustest.Key{Owner: m.ID, Name: "quiet"}, fmt.Sprint(i))
		indexes = append(indexes, result.Index)
	}
	return indexes
}

// awaitCut waits until the log of m begins after an index.
func awaitCut(t *testing.T, m *consensustest.Member, index uint64) {
	t.Helper()
	require.Eventually(t, func() bool { return m.Node.FirstLog() > index }, time.Minute, time.Second)
}

// putIndexes returns the indexes of the services that an author has put, in order.
func putIndexes(events []consensus.Event, author catalog.GatewayID) (indexes []uint64) {
	for _, e := range events {
		if e.Author == author && e.Kind == "put-services" {
			indexes = append(indexes, e.Index)
		}
	}
	return indexes
}

func requireListed(t *testing.T, m *consensustest.Member, author catalog.GatewayID, want []uint64) {
	t.Helper()
	for _, q := range []consensus.EventQuery{{Author: string(author)}, {Author: string(author.Datacenter())}, {Limit: 512}} {
		require.Equal(t, want, putIndexes(listed(t, m, q), author), "%s, %+v", m.ID, q)
	}
}

func TestADatacenterThatWritesMuchHidesNoEventOfAnother(t *testing.T) {
	withEachStore(t, func(t *testing.T, store raftnode.LogStore) {
		c := consensustest.New(t, 3, consensustest.Options{LogStore: store})
		quiet, loud := c.Members[1], c.Members[2]
		want := writeThree(t, quiet)
		flood(t, loud, floods)
		c.WaitEqual()
		for _, m := range c.Members {
			requireListed(t, m, quiet.ID, want)
			assert.Len(t, putIndexes(listed(t, m, consensus.EventQuery{Limit: consensus.MaxEvents}), loud.ID), floods, "the log has them")
		}
	})
}

func TestTheEventsOfADatacenterSurviveACutOfTheLogAndARestart(t *testing.T) {
	withEachStore(t, func(t *testing.T, store raftnode.LogStore) {
		c := consensustest.New(t, 3, cutSoon(store))
		quiet, loud := c.Members[1], c.Members[2]
		want := writeThree(t, quiet)
		for range 2 {
			flood(t, loud, floods)
			c.WaitEqual()
			for _, m := range c.Members {
				awaitCut(t, m, want[2])
				requireListed(t, m, quiet.ID, want)
			}
			for _, m := range c.Members {
				m.Stop()
			}
			for _, m := range c.Members {
				m.Restart()
				requireListed(t, m, quiet.ID, want)
				assert.Len(t, listed(t, m, consensus.EventQuery{Author: string(loud.ID), Limit: 256}), 256)
			}
			c.WaitEqual()
		}
	})
}

// The file is written when the log is cut. What was applied since is in the log.
func TestTheEventsSinceTheCutSurviveACrash(t *testing.T) {
	withEachStore(t, func(t *testing.T, store raftnode.LogStore) {
		c := consensustest.New(t, 3, cutSoon(store))
		quiet, loud := c.Members[1], c.Members[2]
		want := writeThree(t, quiet)
		flood(t, loud, floods)
		c.WaitEqual()
		for _, m := range c.Members {
			awaitCut(t, m, want[2])
		}
		want = append(want, writeThree(t, quiet)...)
		c.WaitEqual()
		time.Sleep(2 * time.Second) // the applied mark is written
		m := others(c, c.Leader())[0]
		m.Kill()
		m.Open() // not started: nothing is applied again
		requireListed(t, m, quiet.ID, want)
		require.NoError(t, m.Node.Close())
	})
}

func TestADamagedHistoryCostsOnlyTheEventsBeforeTheCut(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"changed": func(path string) error {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, bytes.Replace(data, []byte("put-services"), []byte("put-endpoint"), 1), 0o600)
		},
		"cut short": func(path string) error { return os.Truncate(path, 100) },
		"empty":     func(path string) error { return os.Truncate(path, 0) },
		"missing":   os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				options := cutSoon(raftnode.Bolt) // a segment of the other store can keep entries from before the cut
				c := consensustest.New(t, 3, options)
				quiet, loud := c.Members[1], c.Members[2]
				old := writeThree(t, quiet)
				flood(t, loud, floods)
				c.WaitEqual()
				m := c.Members[0]
				awaitCut(t, m, old[2])
				c.Stop()
				require.NoError(t, damage(filepath.Join(m.Dir, "events.json")))
				var log bytes.Buffer // of a node that does not run
				cfg := m.Config()
				cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
				node, err := raftnode.Open(cfg)
				require.NoError(t, err)
				m.Node = node
				require.Empty(t, putIndexes(listed(t, m, consensus.EventQuery{Limit: 512}), quiet.ID))
				require.NotEmpty(t, putIndexes(listed(t, m, consensus.EventQuery{Limit: 512}), loud.ID), "the log has them")
				if name == "missing" { // as in a directory of an earlier build
					assert.NotContains(t, log.String(), "events.json")
				} else {
					assert.Equal(t, 1, strings.Count(log.String(), "events.json"), log.String())
					assert.Contains(t, log.String(), "meshctl events on another gateway")
				}
				require.NoError(t, m.Node.Close())
				for _, m := range c.Members {
					m.Restart()
				}
				late := writeThree(t, quiet)
				flood(t, loud, floods)
				c.WaitEqual()
				awaitCut(t, m, late[2])
				m.Stop()
				m.Restart()
				requireListed(t, m, quiet.ID, late)
				requireListed(t, c.Members[2], quiet.ID, append(old, late...))
			})
		})
	}
}

// A watcher has each event once and in order, although the log is cut between its
// queries and the member restarts.
func TestAWatcherHasEachEventOnceAcrossCuts(t *testing.T) {
	withEachStore(t, func(t *testing.T, store raftnode.LogStore) {
		c := consensustest.New(t, 3, cutSoon(store))
		quiet, loud, m := c.Members[1], c.Members[2], c.Members[0]
		var watched []consensus.Event
		_, after, err := m.Node.Events(consensus.EventQuery{})
		require.NoError(t, err)
		begin := after
		poll := func(limit int) {
			for {
				events, through, err := m.Node.Events(consensus.EventQuery{After: after, Limit: limit})
				require.NoError(t, err)
				watched = append(watched, events...)
				after = through
				if len(events) < limit {
					return
				}
			}
		}
		var want []uint64
		for round := range 10 {
			want = append(want, writeThree(t, quiet)...)
			flood(t, loud, 200)
			if round == 5 {
				m.Stop()
				m.Restart()
			}
			c.WaitEqual()
			if round%2 == 1 {
				time.Sleep(10 * time.Second) // the log is cut
				awaitCut(t, m, begin)
			}
			poll(30)
		}
		awaitCut(t, m, want[len(want)-1])
		assert.Equal(t, want, putIndexes(watched, quiet.ID))
		assert.Len(t, putIndexes(watched, loud.ID), 10*200)
		for i, e := range watched[1:] {
			require.LessOrEqual(t, watched[i].Index, e.Index)
		}
	})
}

// The leader writes an entry with the commands of several datacenters. A member that gets
// its snapshot has the events from there on, and those that it had before.
func TestAMemberThatGetsASnapshotKeepsTheEventsThatItHad(t *testing.T) {
	withEachStore(t, func(t *testing.T, store raftnode.LogStore) {
		c := consensustest.New(t, 3, cutSoon(store))
		lagging := others(c, c.Leader())[0]
		rest := others(c, lagging)
		early := writeThree(t, rest[0])
		c.WaitEqual()
		lagging.Kill()
		missed := writeThree(t, rest[0])
		flood(t, rest[1], floods)
		for _, m := range rest {
			awaitCut(t, m, missed[2])
		}
		lagging.Restart()
		c.WaitEqual()
		late := writeThree(t, rest[0])
		c.WaitEqual()
		for range 2 {
			requireListed(t, lagging, rest[0].ID, append(early, late...))
			lagging.Stop()
			lagging.Restart()
		}
	})
}

func TestTheEventsSurviveARecoveryAndARestore(t *testing.T) {
	withEachStore(t, func(t *testing.T, store raftnode.LogStore) {
		c := consensustest.New(t, 3, consensustest.Options{LogStore: store})
		quiet := c.Members[1]
		want := writeThree(t, quiet)
		c.WaitEqual()
		data, _, err := c.Leader().Node.SaveSnapshot(context.Background(), consensus.ConsistentRead)
		require.NoError(t, err)
		require.NoError(t, c.Leader().Node.Restore(context.Background(), data))
		c.WaitEqual()
		for _, m := range c.Members {
			requireListed(t, m, quiet.ID, want)
		}
		want = append(want, writeThree(t, quiet)...)
		c.WaitEqual()
		for _, m := range c.Members {
			m.Kill()
		}
		_, err = raftnode.Recover(raftnode.Recovery{Dir: quiet.Dir, ID: quiet.ID, Voters: []catalog.GatewayID{quiet.ID}, Now: time.Now()})
		require.NoError(t, err)
		quiet.Restart()
		requireListed(t, quiet, quiet.ID, want)
	})
}

func listed(t *testing.T, m *consensustest.Member, q consensus.EventQuery) []consensus.Event {
	t.Helper()
	events, _, err := m.Node.Events(q)
	require.NoError(t, err)
	return events
}

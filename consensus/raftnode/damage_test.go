package raftnode_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/consensus/raftnode"
)

func TestADirectoryOfAnotherGatewayOrFederationIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 1, consensustest.Options{})
		m := c.Members[0]
		_, err := raftnode.HasState(m.Dir)
		require.ErrorContains(t, err, "another process has it open")
		_, err = raftnode.Open(m.Config())
		require.ErrorContains(t, err, "another process has it open")
		require.ErrorContains(t, err, m.Dir)
		m.Stop()
		has, err := raftnode.HasState(m.Dir)
		require.NoError(t, err)
		require.True(t, has)

		cfg := m.Config()
		cfg.ID = "dc5/gw0"
		_, err = raftnode.Open(cfg)
		require.ErrorContains(t, err, "belongs to gateway dc0/gw0, not to dc5/gw0")
		cfg = m.Config()
		cfg.Federation = "99999999-2222-4333-8444-555555555555"
		_, err = raftnode.Open(cfg)
		require.ErrorContains(t, err, "belongs to federation "+consensustest.Federation)

		node, err := raftnode.Open(m.Config())
		require.NoError(t, err)
		require.ErrorContains(t, node.Bootstrap(), "already holds one")
		require.NoError(t, node.Close())
	})
}

// damage is what can happen to the files of a directory.
type damage struct {
	store raftnode.LogStore // of the log; empty: any
	do    func(t *testing.T, dir string)
}

func damages() map[string]damage {
	return map[string]damage{
		"header of raft.db": {"", func(t *testing.T, dir string) { overwrite(t, filepath.Join(dir, "raft.db"), 0, 8192) }},
		"pages of raft.db":  {"", func(t *testing.T, dir string) { overwrite(t, filepath.Join(dir, "raft.db"), 8192, 1<<20) }},
		"raft.db cut short": {"", func(t *testing.T, dir string) { shorten(t, filepath.Join(dir, "raft.db")) }},
		"raft.db is none": {"", func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "raft.db"), []byte("hello"), 0o600))
		}},
		"header of a segment":  {raftnode.WAL, func(t *testing.T, dir string) { overwrite(t, segment(t, dir), 0, 64) }},
		"records of a segment": {raftnode.WAL, func(t *testing.T, dir string) { overwrite(t, segment(t, dir), 100, 101) }},
		"segment cut short":    {raftnode.WAL, func(t *testing.T, dir string) { shorten(t, segment(t, dir)) }},
		"no segment":           {raftnode.WAL, func(t *testing.T, dir string) { require.NoError(t, os.Remove(segment(t, dir))) }},
		"no log":               {raftnode.WAL, func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(filepath.Join(dir, "log"))) }},
		"snapshot": {"", func(t *testing.T, dir string) {
			found, err := filepath.Glob(filepath.Join(dir, "snapshots", "*", "state.bin"))
			require.NoError(t, err)
			require.NotEmpty(t, found)
			for _, path := range found {
				overwrite(t, path, 10, 20)
			}
		}},
		"identity": {"", func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "identity.json"), []byte("{"), 0o600))
		}},
	}
}

func TestACorruptStoreIsRefusedWithPathAndRemedy(t *testing.T) {
	for name, damage := range damages() {
		for _, store := range []raftnode.LogStore{raftnode.WAL, raftnode.Bolt} {
			if damage.store != "" && damage.store != store {
				continue
			}
			t.Run(name+" with "+string(store), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					timers := raftnode.LAN()
					timers.SnapshotInterval, timers.TrailingLogs = time.Second, 4
					c := consensustest.New(t, 1, consensustest.Options{Timers: timers, SnapshotThreshold: 8, LogStore: store})
					m := c.Members[0]
					for i := range 30 {
						write(t, m, consensustest.Key{Owner: m.ID, Name: "web"}, strings.Repeat("x", i))
						time.Sleep(100 * time.Millisecond)
					}
					m.Stop()
					damage.do(t, m.Dir)
					_, err := raftnode.Open(m.Config())
					require.ErrorContains(t, err, "is corrupt")
					require.ErrorContains(t, err, m.Dir)
					require.ErrorContains(t, err, "meshd uninstall --force")
				})
			})
		}
	}
}

// segment returns the path of the only segment of a log.
func segment(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "log", "*.log"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}

func shorten(t *testing.T, path string) {
	t.Helper()
	stat, err := os.Stat(path)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(path, stat.Size()/4))
}

func overwrite(t *testing.T, path string, from, to int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	stat, err := f.Stat()
	require.NoError(t, err)
	garbage := make([]byte, min(to, stat.Size())-from)
	for i := range garbage {
		garbage[i] = 0xa5
	}
	_, err = f.WriteAt(garbage, from)
	require.NoError(t, err)
}

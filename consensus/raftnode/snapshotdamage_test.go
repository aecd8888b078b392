package raftnode_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/consensustest"
	"github.com/meshway/meshway/consensus/raftnode"
)

// withSnapshots returns a member that has stopped, with two snapshots and entries after
// them, and the catalog that it had.
func withSnapshots(t *testing.T) (m *consensustest.Member, catalog []byte) {
	t.Helper()
	timers := raftnode.LAN()
	timers.SnapshotInterval, timers.TrailingLogs = time.Second, 4
	c := consensustest.New(t, 1, consensustest.Options{Timers: timers, SnapshotThreshold: 8})
	m = c.Members[0]
	for i := range 45 {
		write(t, m, consensustest.Key{Owner: m.ID, Name: "web"}, strings.Repeat("x", i))
		time.Sleep(100 * time.Millisecond)
	}
	m.Stop()
	return m, consensustest.Encode(t, m.Node.View())
}

// snapshots returns the directories of the snapshots, the oldest first.
func snapshots(t *testing.T, m *consensustest.Member) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(m.Dir, "snapshots", "*"))
	require.NoError(t, err)
	require.Len(t, found, 2)
	return found
}

// opened opens the directory of a member, and returns its catalog.
func opened(t *testing.T, m *consensustest.Member) ([]byte, error) {
	t.Helper()
	if err := m.TryOpen(); err != nil {
		return nil, err
	}
	defer func() { require.NoError(t, m.Node.Close()) }()
	return consensustest.Encode(t, m.Node.View()), nil
}

func TestNoDamagedBitOfASnapshotChangesTheCatalog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, want := withSnapshots(t)
		for name, every := range map[string]int{"meta.json": 5, "state.bin": 131} {
			path := filepath.Join(snapshots(t, m)[1], name)
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			for bit := 0; bit < 8*len(content); bit += every {
				changed := slices.Clone(content)
				changed[bit/8] ^= 1 << (bit % 8)
				require.NoError(t, os.WriteFile(path, changed, 0o600))
				have, err := opened(t, m)
				if err != nil {
					require.ErrorContains(t, err, "is corrupt", "bit %d of %s, %s", bit, name, changed)
					require.ErrorContains(t, err, "meshd uninstall --force")
					continue
				}
				require.Equal(t, want, have, "bit %d of %s: %s", bit, name, changed)
			}
			require.NoError(t, os.WriteFile(path, content, 0o600))
		}
	})
}

package disk

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// snapshot writes a snapshot, and returns its directory.
func snapshot(t *testing.T, s *Store, index uint64) string {
	t.Helper()
	servers := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: "dc/gw", Address: "dc/gw"}}}
	_, trans := raft.NewInmemTransport("dc/gw")
	sink, err := s.snaps.Create(raft.SnapshotVersionMax, index, 2, servers, 1, trans)
	require.NoError(t, err)
	_, err = sink.Write([]byte("the catalog"))
	require.NoError(t, err)
	require.NoError(t, sink.Close())
	return filepath.Join(s.dir, snapshotsDir, sink.ID())
}

// A member that was sent a snapshot has no entries before its end: with the snapshot
// before it, it would have forgotten what it acknowledged.
func TestAnOlderSnapshotDoesNotReplaceADamagedOne(t *testing.T) {
	s, err := Open(t.TempDir(), WAL, nil, hclog.NewNullLogger())
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	older, newest := snapshot(t, s, 9), snapshot(t, s, 10)
	meta, err := s.newestSnapshot()
	require.NoError(t, err)
	assert.EqualValues(t, 10, meta.Index)
	whole, err := os.ReadFile(filepath.Join(newest, "meta.json"))
	require.NoError(t, err)
	for _, content := range []string{"", "{", "{}"} {
		require.NoError(t, os.WriteFile(filepath.Join(newest, "meta.json"), []byte(content), 0o600))
		_, err = s.newestSnapshot()
		require.ErrorContains(t, err, newest+" is corrupt")
		require.ErrorContains(t, err, "meshd uninstall --force")
	}
	require.NoError(t, os.WriteFile(filepath.Join(newest, "meta.json"), whole, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(older, "meta.json"), []byte("{}"), 0o600))
	meta, err = s.newestSnapshot()
	require.NoError(t, err, "the newest one is whole")
	assert.EqualValues(t, 10, meta.Index)
	list, err := s.snaps.List()
	require.NoError(t, err)
	assert.Len(t, list, 1)
}

// Builds before the checksum wrote none: the name of the directory has the index.
func TestASnapshotOfAnEarlierBuildIsAccepted(t *testing.T) {
	s, err := Open(t.TempDir(), WAL, nil, hclog.NewNullLogger())
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	dir := snapshot(t, s, 10)
	require.NoError(t, os.Remove(filepath.Join(dir, sumFile)))
	meta, err := s.newestSnapshot()
	require.NoError(t, err)
	assert.EqualValues(t, 10, meta.Index)
	require.NoError(t, os.Rename(dir, dir+"0"))
	_, err = s.newestSnapshot()
	require.ErrorContains(t, err, "its metadata is damaged")
}

//go:build linux && root

package upgrade_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/harness"
)

const recordings = "testdata/recorded"

// TestRecordedDataDirectoriesOfEarlierBuildsAreRead starts this build with what earlier
// builds have left on disk: keys, certificates, memberships, pins, registrations, logs
// and snapshots.
func TestRecordedDataDirectoriesOfEarlierBuildsAreRead(t *testing.T) {
	if *record != "" {
		recordDirectories(t, filepath.Join(recordings, *record))
	}
	entries, err := os.ReadDir(recordings)
	require.NoError(t, err)
	require.NotEmpty(t, entries)
	for _, entry := range entries {
		t.Run(entry.Name(), func(t *testing.T) { testRecording(t, filepath.Join(recordings, entry.Name())) })
	}
}

func testRecording(t *testing.T, dir string) {
	members := newTopology(t, "east", "west").Datacenters
	before := map[*harness.Datacenter]string{}
	for _, dc := range members {
		archive, err := os.ReadFile(filepath.Join(dir, dc.Name+".tar.gz"))
		require.NoError(t, err)
		_, err = dc.Gateway.ExecInput(t.Context(), base64.StdEncoding.EncodeToString(archive), "sh", "-c", "base64 -d | tar -C /var/lib -xz")
		require.NoError(t, err)
		state, err := os.ReadFile(filepath.Join(dir, dc.Name+".state"))
		require.NoError(t, err)
		before[dc] = string(state)
		start(t, dc, newer)
	}
	require.NoError(t, harness.AwaitFederation(within(t), members...))
	awaitState(t, before)
}

// recordDirectories writes the data directories of a federation of the older build, and
// what its members report.
func recordDirectories(t *testing.T, dir string) {
	t.Helper()
	members := newTopology(t, "east", "west").Datacenters
	federate(t, older, members...)
	register(t, members[1], "web")
	token(t, members[0])
	require.NoError(t, os.MkdirAll(recordings, 0o755))
	require.NoError(t, os.Mkdir(dir, 0o755), "a recording is never replaced")
	for name, state := range stateOf(t, members) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name.Name+".state"), []byte(state), 0o600))
	}
	for _, dc := range members {
		require.NoError(t, dc.Agent.Terminate(within(t)))
	}
	for _, dc := range members {
		text, err := dc.Gateway.Exec(t.Context(), "sh", "-c", "tar -C /var/lib --exclude='*.sock' -cz meshway | base64 -w0")
		require.NoError(t, err)
		archive, err := base64.StdEncoding.DecodeString(text)
		require.NoError(t, err)
		assert.NoError(t, os.WriteFile(filepath.Join(dir, dc.Name+".tar.gz"), archive, 0o600))
	}
}

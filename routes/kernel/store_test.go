package kernel_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/routes/kernel"
)

func TestSavedSysctlsSurviveARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state", "sysctls.json")
	store := kernel.FileStore(file)
	saved, err := store.Load()
	require.NoError(t, err)
	assert.Empty(t, saved)

	want := []kernel.SavedSysctl{{Key: "net/ipv4/ip_forward", Before: "0", Ours: "1"}}
	require.NoError(t, store.Save(want))
	got, err := kernel.FileStore(file).Load()
	require.NoError(t, err)
	assert.Equal(t, want, got)

	require.NoError(t, store.Save(nil))
	assert.NoFileExists(t, file, "an empty list removes the file")
	require.NoError(t, store.Save(nil))
}

func TestACorruptSysctlStoreNamesTheFileAndTheRemedy(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sysctls.json")
	require.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
	_, err := kernel.FileStore(file).Load()
	require.ErrorContains(t, err, file)
	require.ErrorContains(t, err, "remove the file")
}

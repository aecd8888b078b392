package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/routes/kernel"
)

func TestSavedSysctlsSurviveARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	store := sysctlStore(dir)
	saved, found, err := store.Load()
	require.NoError(t, err)
	assert.False(t, found)
	assert.Empty(t, saved)

	want := []kernel.SavedSysctl{{Key: "net/ipv4/ip_forward", Before: "0", Ours: "1"}}
	require.NoError(t, store.Save(want))
	got, found, err := sysctlStore(dir).Load()
	require.NoError(t, err)
	assert.True(t, found)
	assert.Equal(t, want, got)

	require.NoError(t, store.Remove())
	assert.NoFileExists(t, filepath.Join(dir, "sysctls.json"))
	require.NoError(t, store.Remove(), "nothing is stored")
}

func TestACorruptSysctlStoreNamesTheFileAndTheRemedy(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "sysctls.json")
	require.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
	_, _, err := sysctlStore(dir).Load()
	require.ErrorContains(t, err, file)
	require.ErrorContains(t, err, "remove the file")
}

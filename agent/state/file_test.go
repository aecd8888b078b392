package state_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/state"
)

func newFile(t *testing.T) state.File[[]string] {
	return state.File[[]string]{Path: filepath.Join(t.TempDir(), "new", "names.json"), What: "names", Remedy: "move the file away"}
}

func TestValueSurvivesARestart(t *testing.T) {
	file := newFile(t)
	value, found, err := file.Load()
	require.NoError(t, err)
	assert.False(t, found)
	assert.Empty(t, value)
	require.NoError(t, file.Save([]string{"east", "west"}))
	value, found, err = file.Load()
	require.NoError(t, err)
	assert.True(t, found)
	assert.Equal(t, []string{"east", "west"}, value)
	info, err := os.Stat(file.Path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestCorruptFileIsNamedAndNotReplaced(t *testing.T) {
	file := newFile(t)
	require.NoError(t, os.MkdirAll(filepath.Dir(file.Path), 0o700))
	require.NoError(t, os.WriteFile(file.Path, []byte("{"), 0o600))
	_, _, err := file.Load()
	require.ErrorContains(t, err, file.Path)
	require.ErrorContains(t, err, file.Remedy)
	kept, err := os.ReadFile(file.Path)
	require.NoError(t, err)
	assert.Equal(t, "{", string(kept))
}

func TestRemovedFileIsNotFound(t *testing.T) {
	file := newFile(t)
	require.NoError(t, file.Remove(), "there is none yet")
	require.NoError(t, file.Save(nil))
	require.NoError(t, file.Remove())
	_, found, err := file.Load()
	require.NoError(t, err)
	assert.False(t, found)
}

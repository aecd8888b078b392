package manual_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/cmd/manual"
)

func TestEachVisibleCommandHasAPageWithTheDateOfTheSource(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000") // November 2023
	dir := filepath.Join(t.TempDir(), "man8")
	root := &cobra.Command{Use: "mesh", Short: "Run a mesh"}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(
		&cobra.Command{Use: "join TOKEN", Short: "Join a mesh", Run: func(*cobra.Command, []string) {}},
		manual.Command("mesh"),
	)
	root.SetArgs([]string{"man", dir})
	require.NoError(t, root.Execute())

	pages, err := filepath.Glob(dir + "/*")
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{dir + "/mesh.8", dir + "/mesh-join.8"}, pages)
	page, err := os.ReadFile(dir + "/mesh-join.8")
	require.NoError(t, err)
	assert.Contains(t, string(page), `"Nov 2023"`)
	assert.Contains(t, string(page), "mesh-join - Join a mesh")
}

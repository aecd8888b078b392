package manual_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/cmd/manual"
)

func TestEachVisibleCommandHasAPageWithTheDateOfTheSource(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1701345600") // 30 November 2023, 12:00 UTC
	local := time.Local
	time.Local = time.FixedZone("NZDT", 13*60*60) // where it is December
	t.Cleanup(func() { time.Local = local })
	dir := filepath.Join(t.TempDir(), "man8")
	root := &cobra.Command{Use: "mesh", Short: "Run a mesh"}
	root.CompletionOptions.DisableDefaultCmd = true
	root.PersistentFlags().Var(new(color), "color", "coloured output")
	root.AddCommand(
		&cobra.Command{Use: "join TOKEN", Short: "Join a mesh", Run: func(*cobra.Command, []string) {}},
		manual.Command("mesh", "0  success\n1  failure\n"),
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
	assert.Contains(t, string(page), "coloured output; one of always, never\n")
	assert.Contains(t, string(page), "\n.SH EXIT STATUS\n.EX\n0  success\n1  failure\n.EE\n\n.SH SEE ALSO\n")
}

func TestDateThatIsNoNumberIsRefusedBeforeADirectoryIsMade(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "today")
	dir := filepath.Join(t.TempDir(), "man8")
	root := &cobra.Command{Use: "mesh", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(manual.Command("mesh", ""))
	root.SetArgs([]string{"man", dir})
	assert.EqualError(t, root.Execute(), `SOURCE_DATE_EPOCH is "today"; it must be a number of seconds since 1970`)
	assert.NoDirExists(t, dir)
}

// color is a flag with a list of values.
type color string

func (*color) String() string   { return "never" }
func (*color) Set(string) error { return nil }
func (*color) Type() string     { return "always|never" }

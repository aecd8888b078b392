package commandtest

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// CheckWidth verifies that the help of each command of a program fits in 80 columns.
// program returns a new root command at each call.
func CheckWidth(t *testing.T, program func() *cobra.Command) {
	t.Helper()
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		var help bytes.Buffer
		root := program()
		root.SetOut(&help)
		root.SetArgs(append(strings.Fields(cmd.CommandPath())[1:], "--help"))
		require.NoError(t, root.Execute())
		require.NotEmpty(t, help.String(), cmd.CommandPath())
		for line := range strings.Lines(help.String()) {
			assert.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), 80, "%s: %s", cmd.CommandPath(), line)
		}
		for _, sub := range cmd.Commands() {
			check(sub)
		}
	}
	check(program())
}

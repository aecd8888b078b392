package commandtest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// CheckReference compares the reference of a program with its file in the documentation,
// which it writes first if update is set.
func CheckReference(t *testing.T, file string, program *cobra.Command, update bool) {
	t.Helper()
	text := reference(program)
	if update {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
	have, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, text, string(have), "%s is not current: run make generate", file)
}

// reference returns a page of Markdown with all commands of a program that its help
// shows.
func reference(program *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s.\n\nGenerated from the program: `make generate`. [The glossary](../../agent/doc.go) defines the terms.\n", program.Name(), program.Short)
	if flags := program.PersistentFlags(); flags.HasAvailableFlags() {
		fmt.Fprintf(&b, "\n## Flags of all commands\n%s", block(usages(flags)))
	}
	writeCommands(&b, program)
	return b.String()
}

func writeCommands(b *strings.Builder, parent *cobra.Command) {
	for _, cmd := range parent.Commands() {
		if !cmd.IsAvailableCommand() || cmd.Name() == "completion" || cmd.Name() == "help" {
			continue
		}
		if cmd.Runnable() && !cmd.HasSubCommands() {
			writeCommand(b, cmd)
		}
		writeCommands(b, cmd)
	}
}

func writeCommand(b *strings.Builder, cmd *cobra.Command) {
	fmt.Fprintf(b, "\n## %s\n\n%s.\n", cmd.CommandPath(), cmd.Short)
	b.WriteString(block(cmd.UseLine()))
	if cmd.Long != "" {
		fmt.Fprintf(b, "\n%s\n", strings.TrimSpace(cmd.Long))
	}
	if flags := cmd.LocalNonPersistentFlags(); flags.HasAvailableFlags() {
		fmt.Fprintf(b, "\nFlags:\n%s", block(usages(flags)))
	}
	if cmd.Example != "" {
		fmt.Fprintf(b, "\nExamples:\n%s", block(cmd.Example))
	}
}

// usages returns the flags of a command without that for its help.
func usages(flags *pflag.FlagSet) string {
	shown := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Name != "help" {
			shown.AddFlag(flag)
		}
	})
	return shown.FlagUsagesWrapped(80)
}

// block returns text as a block of code of Markdown.
func block(text string) string {
	if strings.TrimSpace(text) == "" {
		return ""
	}
	return "\n```\n" + strings.TrimRight(text, "\n ") + "\n```\n"
}

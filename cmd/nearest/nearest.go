// Package nearest finds the command or flag that a misspelled word of a command line
// may stand for.
package nearest

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meshway/meshway/agent/suggest"
)

// Command returns the subcommand that resembles word most of those that cobra
// suggests, or cobra's first one: a subcommand that word is a prefix of, or that lists
// it in SuggestFor. It returns false if none resembles word.
func Command(cmd *cobra.Command, word string) (string, bool) {
	suggestions := cmd.SuggestionsFor(word)
	if near, ok := suggest.Nearest(word, suggestions); ok {
		return near, true
	}
	if len(suggestions) == 0 {
		return "", false
	}
	return suggestions[0], true
}

// Flag returns the flag of cmd that resembles word most; false if none does.
func Flag(cmd *cobra.Command, word string) (string, bool) {
	var names []string
	cmd.Flags().VisitAll(func(flag *pflag.Flag) { names = append(names, flag.Name) })
	return suggest.Nearest(word, names)
}

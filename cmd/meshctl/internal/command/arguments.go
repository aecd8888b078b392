package command

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meshway/meshway/cmd/flagvalue"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/nearest"
)

// Parent makes cmd a command that only groups others: without arguments it
// prints its help, an unknown subcommand is an error with a suggestion. (cobra
// checks the root only, and its message has four lines.)
func Parent(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		f := fault.Usagef("unknown command %q of %s", args[0], cmd.CommandPath())
		if near, ok := nearest.Command(cmd, args[0]); ok {
			f.Remedy = fmt.Sprintf("did you mean `%s %s`?", cmd.CommandPath(), near)
		} else if cmd.HasParent() {
			f.Remedy = "use one of " + strings.Join(subcommands(cmd), ", ")
		}
		f.Usage = cmd.CommandPath() + " --help"
		return f
	}
	cmd.SuggestionsMinimumDistance = 2
	return cmd
}

// subcommands returns the names of those that help shows.
func subcommands(cmd *cobra.Command) []string {
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return names
}

// Positional checks the number of arguments; what describes them in the error.
// The error never repeats an argument, which may be a token.
func Positional(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		var f *fault.Fault
		switch {
		case len(args) < least:
			f = fault.Usagef("%s needs %s", cmd.CommandPath(), what)
		case len(args) > most && most == 0:
			f = fault.Usagef("%s takes no arguments, %d given", cmd.CommandPath(), len(args))
		case len(args) > most:
			f = fault.Usagef("%s takes only %s, %d arguments given", cmd.CommandPath(), what, len(args))
		default:
			return nil
		}
		f.Usage = cmd.UseLine()
		return f
	}
}

// NoArguments refuses all arguments.
func NoArguments() cobra.PositionalArgs { return Positional(0, 0, "no arguments") }

// FlagError turns an error of pflag into a fault with a suggestion.
func FlagError(cmd *cobra.Command, err error) error {
	f := fault.Usagef("%s", err.Error())
	f.Usage = cmd.UseLine()
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		f.Message = "unknown flag --" + unknown.GetSpecifiedName()
		if shorts := unknown.GetSpecifiedShortnames(); shorts != "" {
			f.Message = "unknown flag -" + unknown.GetSpecifiedName()
		} else if near, ok := nearest.Flag(cmd, unknown.GetSpecifiedName()); ok {
			f.Remedy = "did you mean --" + near + "?"
		}
	}
	if flag, message, ok := flagvalue.Error(err); ok {
		f.Field, f.Message = flag, message
	}
	return f
}

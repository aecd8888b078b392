package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meshway/meshway/agent/suggest"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/kubectl"
)

const (
	defaultSocket  = "/run/meshway/meshd.sock"
	defaultTimeout = 30 * time.Second
	longTimeout    = 5 * time.Minute // of join, leave, drain, dns and snapshots
)

// The groups of commands in help.
const (
	groupFederation = "federation"
	groupInspect    = "inspect"
	groupServices   = "services"
	groupGateway    = "gateway"
	groupCatalog    = "catalog"
	groupOther      = "other"
)

func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "meshctl",
		Short: "Operate a Meshway federation",
		Long: `meshctl operates a Meshway federation: Kubernetes clusters and sites that form
one network over WireGuard tunnels and share one catalog. It connects to the
meshd of this host or, with --context, to a meshd of a Kubernetes cluster.`,
		Example: `  meshctl init                          # on east: create a federation
  meshctl token create                  # on east: create a join token
  meshctl join -                        # on west: paste the token
  meshctl status                        # show reachability and problems`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddGroup(
		&cobra.Group{ID: groupFederation, Title: "Create and join a federation:"},
		&cobra.Group{ID: groupInspect, Title: "Inspect:"},
		&cobra.Group{ID: groupServices, Title: "Services:"},
		&cobra.Group{ID: groupGateway, Title: "Maintain a gateway:"},
		&cobra.Group{ID: groupCatalog, Title: "Maintain the catalog:"},
		&cobra.Group{ID: groupOther, Title: "Other:"},
	)
	addGrouped(root, groupFederation, newInitCommand(a), newTokenCommand(a), newJoinCommand(a), newLeaveCommand(a), newDatacenterCommand(a), newFederationCommand(a), newTrustCommand(a))
	addGrouped(root, groupInspect, newStatusCommand(a), newMembersCommand(a), newRoutesCommand(a), newEventsCommand(a))
	addGrouped(root, groupServices, newServicesCommand(a), newServiceCommand(a), newDNSCommand(a))
	addGrouped(root, groupGateway, newDrainCommand(a), newUndrainCommand(a))
	addGrouped(root, groupCatalog, newSnapshotCommand(a), newRaftCommand(a))
	addGrouped(root, groupOther, newVersionCommand(a))
	root.AddCommand(newExitCodesTopic(), newDialStdioCommand(a))
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)
	globalFlags(a, root)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", ".FlagUsagesWrapped 80"))
	asParent(root)
	root.SetFlagErrorFunc(flagError)
	return root
}

func addGrouped(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, command := range commands {
		command.GroupID = group
		root.AddCommand(command)
	}
}

func globalFlags(a *app, root *cobra.Command) {
	socket := a.getenv("MESHWAY_SOCKET")
	if socket == "" {
		socket = defaultSocket
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.options.socket, "socket", socket, "unix socket of meshd (env MESHWAY_SOCKET)")
	flags.StringVar(&a.options.cluster.Context, "context", "", "use the meshd of a Kubernetes cluster, through this kubectl context")
	flags.StringVar(&a.options.cluster.Namespace, "meshway-namespace", kubectl.ChartNamespace, "namespace of the chart in that cluster")
	flags.StringVar(&a.options.cluster.Node, "node", "", "with --context: use the meshd of this node, gateway or not")
	flags.VarP(&a.options.output, "output", "o", "output format")
	flags.DurationVar(&a.options.timeout, "timeout", defaultTimeout, "maximum time to wait for an answer; 5m for join, leave, drain, dns and snapshot")
	flags.Var(&a.options.color, "color", "coloured output; auto: on a terminal, unless NO_COLOR is set")
	// The flags exist since the lines above: the errors cannot occur.
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputFormats(), cobra.ShellCompDirectiveNoFileComp))
	_ = root.RegisterFlagCompletionFunc("color", cobra.FixedCompletions(colorModes(), cobra.ShellCompDirectiveNoFileComp))
}

// asParent makes cmd a command that only groups others: without arguments it
// prints its help, an unknown subcommand is an error with a suggestion. (cobra
// checks the root only, and its message has four lines.)
func asParent(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		f := fault.Usagef("unknown command %q of %s", args[0], cmd.CommandPath())
		if near, ok := nearestCommand(cmd, args[0]); ok {
			f.Remedy = fmt.Sprintf("did you mean `%s %s`?", cmd.CommandPath(), near)
		}
		f.Usage = cmd.CommandPath() + " --help"
		return f
	}
	cmd.SuggestionsMinimumDistance = 2
	return cmd
}

// positional checks the number of arguments; what describes them in the error.
// The error never repeats an argument, which may be a token.
func positional(least, most int, what string) cobra.PositionalArgs {
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

func noArguments() cobra.PositionalArgs { return positional(0, 0, "no arguments") }

// flagError turns an error of pflag into a fault with a suggestion.
func flagError(cmd *cobra.Command, err error) error {
	f := fault.Usagef("%s", err.Error())
	f.Usage = cmd.UseLine()
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		f.Message = "unknown flag --" + unknown.GetSpecifiedName()
		if shorts := unknown.GetSpecifiedShortnames(); shorts != "" {
			f.Message = "unknown flag -" + unknown.GetSpecifiedName()
		} else if near, ok := nearestFlag(cmd, unknown.GetSpecifiedName()); ok {
			f.Remedy = "did you mean --" + near + "?"
		}
	}
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		f.Field = "--" + invalid.GetFlag().Name
		f.Message = fmt.Sprintf("invalid value %q: %s", invalid.GetValue(), strings.TrimPrefix(invalid.Unwrap().Error(), "time: "))
	}
	return f
}

// nearestCommand returns the subcommand that resembles word most of those that
// cobra suggests, or cobra's first one: a subcommand that word is a prefix of,
// or that lists it in SuggestFor.
func nearestCommand(cmd *cobra.Command, word string) (string, bool) {
	suggestions := cmd.SuggestionsFor(word)
	if nearest, ok := suggest.Nearest(word, suggestions); ok {
		return nearest, true
	}
	if len(suggestions) == 0 {
		return "", false
	}
	return suggestions[0], true
}

// nearestFlag returns the flag of cmd that resembles word most.
func nearestFlag(cmd *cobra.Command, word string) (string, bool) {
	var names []string
	cmd.Flags().VisitAll(func(flag *pflag.Flag) { names = append(names, flag.Name) })
	return suggest.Nearest(word, names)
}

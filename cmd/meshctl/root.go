package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshway/meshway/cmd/manual"
	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/kubectl"
	"github.com/meshway/meshway/cmd/meshctl/internal/output"
	"github.com/meshway/meshway/cmd/meshctl/internal/stdio"
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
	addGrouped(root, groupFederation, newInitCommand(a), newTokenCommand(a), newJoinCommand(a), newLeaveCommand(a), newDatacenterCommand(a), newFederationCommand(a), newTrustCommand(a), newCACommand(a))
	addGrouped(root, groupInspect, newStatusCommand(a), newMembersCommand(a), newRoutesCommand(a), newEventsCommand(a))
	addGrouped(root, groupServices, newServicesCommand(a), a.watchCommand(), newServiceCommand(a), newDNSCommand(a))
	addGrouped(root, groupGateway, newDrainCommand(a), newUndrainCommand(a))
	addGrouped(root, groupCatalog, newSnapshotCommand(a), newRaftCommand(a))
	man := manual.Command(programName, command.ExitStatus)
	man.Args = command.Positional(1, 1, "the path of one directory")
	addGrouped(root, groupOther, newVersionCommand(a), man, stdio.Command(&a.options.socket, a.in, a.out))
	root.AddCommand(command.ExitCodes())
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)
	globalFlags(a, root)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", ".FlagUsagesWrapped 80"))
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	command.Parent(root)
	command.Generated(root)
	root.SetFlagErrorFunc(command.FlagError)
	if a.name != programName {
		rename(root, a.name)
	}
	return root
}

const (
	programName = "meshctl"
	// pluginFile is the name of the program as a plugin of kubectl, which runs it for
	// `kubectl meshway`.
	pluginFile = "kubectl-meshway"
)

// displayName returns the name of the program in its help, for the file that was
// started.
func displayName(file string) string {
	base := file[strings.LastIndexAny(file, `/\`)+1:]
	if strings.TrimSuffix(base, ".exe") == pluginFile {
		return "kubectl meshway"
	}
	return programName
}

// rename changes the name of the program in the help of cmd and of its subcommands.
func rename(cmd *cobra.Command, name string) {
	if !cmd.HasParent() {
		cmd.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: name}
	}
	cmd.Example = strings.ReplaceAll(cmd.Example, "  "+programName+" ", "  "+name+" ")
	for _, sub := range cmd.Commands() {
		rename(sub, name)
	}
}

func addGrouped(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, child := range commands {
		child.GroupID = group
		root.AddCommand(child)
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
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(output.Formats(), cobra.ShellCompDirectiveNoFileComp))
	_ = root.RegisterFlagCompletionFunc("color", cobra.FixedCompletions(output.Colors(), cobra.ShellCompDirectiveNoFileComp))
}

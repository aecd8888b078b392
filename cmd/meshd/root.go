package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meshway/meshway/agent/build"
	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/cmd/flagvalue"
	"github.com/meshway/meshway/cmd/manual"
	"github.com/meshway/meshway/cmd/nearest"
)

// DefaultConfigFile is read when --config is not given and the file exists.
const DefaultConfigFile = "/etc/meshway/meshd.yaml"

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "meshd",
		Short: "The agent of Meshway: tunnels, routes and the catalog of one gateway",
		Long: `meshd is the agent of a Meshway gateway or node. meshctl controls it.

  meshd run --config /etc/meshway/meshd.yaml
  meshctl init | meshctl join TOKEN
  meshctl status`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(runCommand(), wireguardCommand(), lanesCommand(), guardCommand(), uninstallCommand(), recoverCommand(), configCommand(), versionCommand(), manual.Command("meshd", exitStatus))
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", ".FlagUsagesWrapped 80"))
	root.SetFlagErrorFunc(flagError)
	asParent(root)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help": // cobra's prints the help of the program for an unknown command
			cmd.Args = func(cmd *cobra.Command, args []string) error {
				topic, rest, err := cmd.Root().Find(args)
				if err == nil && len(rest) > 0 {
					err = unknownCommand(topic, rest[0])
				}
				return err
			}
		case "completion":
			asParent(cmd)
			cmd.SuggestionsMinimumDistance = 1 // the names of all shells resemble each other
			for _, shell := range cmd.Commands() {
				shell.Long = fmt.Sprintf("Prints the completion script for %s.", shell.Name()) // that of cobra is wider than 80 columns
			}
		}
	}
	checkUsage(root)
	return root
}

// usageError is an unknown command or flag, or a wrong number of arguments.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitStatus lists the exit codes.
const exitStatus = `    0  success
    1  failure, which stderr states
    2  wrong usage: an unknown command or flag, a missing or malformed argument`

// exitCode returns the exit code of meshd: 0 without an error, 2 for a usageError
// and 1 for all others, as of meshctl.
func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return 2
	}
	return 1
}

// flagError returns the usageError of an unknown flag or a malformed value.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if flag, message, ok := flagvalue.Error(err); ok {
		err = fmt.Errorf("%s: %s", flag, message)
	} else if errors.As(err, &unknown) {
		if near, ok := nearest.Flag(cmd, unknown.GetSpecifiedName()); ok {
			err = fmt.Errorf("%w, did you mean --%s?", err, near)
		}
	}
	return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
}

// unknownCommand returns an error that names the subcommand of parent which word
// resembles.
func unknownCommand(parent *cobra.Command, word string) error {
	if near, ok := nearest.Command(parent, word); ok {
		return fmt.Errorf("unknown command %q for %q, did you mean %q?", word, parent.CommandPath(), near)
	}
	return fmt.Errorf("unknown command %q for %q", word, parent.CommandPath())
}

// asParent makes cmd print its help, and refuse all but its subcommands.
func asParent(cmd *cobra.Command) *cobra.Command {
	cmd.SuggestionsMinimumDistance = 2
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return unknownCommand(cmd, args[0])
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return cmd
}

// checkUsage makes errors of the arguments and of missing flags usageErrors, for cmd
// and its subcommands.
func checkUsage(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			if err == nil {
				err = cmd.ValidateRequiredFlags()
			}
			if err != nil {
				return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		checkUsage(sub)
	}
}

func versionCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version of this build", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch output {
			case "text":
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "meshd", build.Current())
				return err
			case "json":
				return json.NewEncoder(cmd.OutOrStdout()).Encode(build.Current())
			}
			return usageError{fmt.Errorf("--output %q is not text or json; see %s --help", output, cmd.CommandPath())}
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

func configCommand() *cobra.Command {
	cmd := asParent(&cobra.Command{Use: "config", Short: "Print or check a configuration"})
	cmd.AddCommand(&cobra.Command{
		Use: "reference", Short: "Print every key with its default and meaning", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), config.Reference())
			return err
		},
	}, &cobra.Command{
		Use: "check FILE", Short: "Check a configuration file",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("meshd config check needs the path of one configuration file")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := config.Load(args[0], config.Overrides{}, nil); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is valid\n", args[0])
			return err
		},
	})
	return cmd
}

// configFlags are the keys of the configuration that are flags too.
type configFlags struct {
	file      string
	overrides config.Overrides
}

func (f *configFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.file, "config", "", "configuration `file` (default "+DefaultConfigFile+" if it exists); see meshd config reference")
	flags.StringVar(&f.overrides.Datacenter, "datacenter", "", "name of this datacenter (datacenter)")
	flags.StringVar(&f.overrides.Gateway, "gateway", "", "name of this gateway (gateway)")
	flags.StringVar(&f.overrides.DataDir, "data-dir", "", "`directory` for keys and the catalog (dataDir)")
	flags.StringVar(&f.overrides.Listen, "listen", "", "`address:port` of the control port (control.listen)")
	flags.StringVar(&f.overrides.Dataplane, "dataplane", "", "auto, kernel or userspace (wireguard.dataplane)")
	flags.StringVar(&f.overrides.NodeName, "node-name", "", "name of this host's Node in Kubernetes (kubernetes.nodeName)")
	flags.StringVar(&f.overrides.TokenFile, "token-file", "", "join with the token in this `file` (join.tokenFile)")
	flags.StringVar(&f.overrides.Socket, "socket", "", "unix `socket` for meshctl (admin.socket)")
	flags.StringVar(&f.overrides.MetricsListen, "metrics-listen", "", "`address:port` of /metrics, /healthz and /readyz (metrics.listen)")
	flags.StringVar(&f.overrides.LogLevel, "log-level", "", "debug, info, warn or error (log.level)")
	flags.StringVar(&f.overrides.LogFormat, "log-format", "", "text or json (log.format)")
}

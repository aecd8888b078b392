package command

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/nearest"
)

// Generated adds the commands help and completion, which cobra adds to a program when it
// runs. Those of cobra accept any argument, and print the help of their parent.
func Generated(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.Short, cmd.Example = "Show the help of a command", "  "+root.Name()+" help status"
			cmd.Args = checkTopic
		case "completion":
			completion(cmd)
		}
	}
}

func completion(cmd *cobra.Command) {
	cmd.Short = "Print the completion script for a shell"
	cmd.Example = "  " + cmd.CommandPath() + " bash"
	Parent(cmd)
	cmd.SuggestionsMinimumDistance = 1 // the names of all shells resemble each other
	loaded := map[string]string{
		"bash": " >/etc/bash_completion.d/" + cmd.Root().Name(), "zsh": ` >"${fpath[1]}/_` + cmd.Root().Name() + `"`,
		"fish": " | source", "powershell": " | Out-String | Invoke-Expression",
	}
	for _, shell := range cmd.Commands() {
		shell.Short = "Print the completion script for " + shell.Name()
		shell.Long = fmt.Sprintf("Prints the completion script for %s.\nThe packages of Meshway have it already.", shell.Name())
		shell.Example = "  " + shell.CommandPath() + loaded[shell.Name()]
		shell.Args = NoArguments()
	}
}

// checkTopic refuses topics of help that do not exist.
func checkTopic(cmd *cobra.Command, args []string) error {
	topic, rest, err := cmd.Root().Find(args)
	if err == nil && len(rest) == 0 {
		return nil
	}
	unknown := append(rest, "")[0]
	f := fault.Usagef("unknown command %q of %s", unknown, topic.CommandPath())
	if near, ok := nearest.Command(topic, unknown); ok {
		f.Remedy = "did you mean `" + cmd.CommandPath() + " " + near + "`?"
	}
	f.Usage = topic.CommandPath() + " --help"
	return f
}

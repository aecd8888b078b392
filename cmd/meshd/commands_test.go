package main

import (
	"flag"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/cmd/commandtest"
)

func TestCommandsNamedInTheRepositoryExist(t *testing.T) {
	assert.Greater(t, commandtest.Check(t, root, rootCommand()), 20)
}

func TestShortHelpStartsWithACapitalLetterAndHasNoPeriod(t *testing.T) {
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		assert.Regexp(t, `^[A-Z].*[^.]$`, cmd.Short, cmd.CommandPath())
		for _, sub := range cmd.Commands() {
			check(sub)
		}
	}
	check(rootCommand())
}

func TestWrongUsageExitsWith2AndOtherErrorsWith1(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		text string
	}{
		{"version", 0, ""},
		{"version -o json", 0, ""},
		{"version -o yaml", 2, `--output "yaml" is not text or json; see meshd version --help`},
		{"", 0, ""},
		{"nonsense", 2, `unknown command "nonsense" for "meshd"; see meshd --help`},
		{"config nonsense", 2, `unknown command "nonsense" for "meshd config"; see meshd config --help`},
		{"completion tcsh", 2, `unknown command "tcsh" for "meshd completion"; see meshd completion --help`},
		{"completion bash now", 2, `unknown command "now" for "meshd completion bash"; see meshd completion bash --help`},
		{"help nonsense", 2, `unknown command "nonsense" for "meshd"; see meshd help --help`},
		{"rum", 2, `unknown command "rum" for "meshd", did you mean "run"?; see meshd --help`},
		{"config chek", 2, `unknown command "chek" for "meshd config", did you mean "check"?; see meshd config --help`},
		{"help config chck", 2, `unknown command "chck" for "meshd config", did you mean "check"?; see meshd help --help`},
		{"run --datadir=/x", 2, "unknown flag: --datadir, did you mean --data-dir?; see meshd run --help"},
		{"help run", 0, ""},
		{"man", 2, "meshd man needs the path of one directory, 0 arguments given"},
		{"run --nonsense", 2, "unknown flag: --nonsense; see meshd run --help"},
		{"uninstall --purge=maybe", 2, `--purge: invalid value "maybe": must be true or false; see meshd uninstall --help`},
		{"uninstall all", 2, "meshd uninstall --help"},
		{"config check", 2, "needs the path of one configuration file"},
		{"recover", 2, "peer"},
		{"config check /does/not/exist", 1, "/does/not/exist"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			cmd := rootCommand()
			cmd.SetArgs(strings.Fields(tt.args))
			cmd.SetOut(io.Discard)
			err := cmd.Execute()
			assert.Equal(t, tt.code, exitCode(err))
			if tt.text != "" {
				assert.ErrorContains(t, err, tt.text)
			}
		})
	}
}

func TestHelpFitsIn80Columns(t *testing.T) { commandtest.CheckWidth(t, rootCommand) }

var update = flag.Bool("update", false, "write the reference in the documentation")

func TestReferenceInTheDocumentationIsCurrent(t *testing.T) {
	commandtest.CheckReference(t, root+"/deploy/docs/meshd.md", rootCommand(), *update)
}

package main

import (
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

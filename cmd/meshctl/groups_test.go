package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
)

func TestGroupsRefuseUnknownCommands(t *testing.T) {
	eachCommand(func(_, cmd *cobra.Command) {
		if cmd.HasSubCommands() {
			r := meshctl(t, &fakeMeshd{}, append(strings.Fields(cmd.CommandPath())[1:], "nonsense")...)
			assert.Equal(t, fault.ExitUsage, r.code, cmd.CommandPath())
			assert.Empty(t, r.out, cmd.CommandPath())
		}
	})
}

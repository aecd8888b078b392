package limits_test

import (
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/cmd/meshctl/internal/limits"
)

func TestOnlyTheLimitsThatAreGivenAreRequested(t *testing.T) {
	flags := pflag.NewFlagSet("limits", pflag.ContinueOnError)
	request := limits.Flags(flags)
	require.NoError(t, flags.Parse([]string{"--memory", "96", "--gateways", "0"}))
	assert.Equal(t, "gateways, memory", limits.Text(request()))
	assert.EqualValues(t, 96<<20, request().GetLimits()[1].GetMost())
	assert.Zero(t, request().GetLimits()[0].GetMost())
}

package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUninstallOfAClusterRunsInTheChartsJobOnly(t *testing.T) {
	t.Setenv(daemonSetVariable, "")
	require.ErrorContains(t, uninstallCluster(t.Context(), t.Output()), daemonSetVariable+" is not set")
}

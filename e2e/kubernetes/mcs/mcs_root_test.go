//go:build linux && root

package mcs_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/meshway/meshway/agent/kube/mcs/controller"
	"github.com/meshway/meshway/agent/kube/mcs/mcstest"
	"github.com/meshway/meshway/e2e/kubernetes/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	cluster.Main()
	os.Exit(m.Run())
}

// One cluster for all promises: each has namespaces of its own.
func TestControllersKeepTheirPromisesOnARealAPIServer(t *testing.T) {
	lab, err := cluster.NewLab(t.Context(), t.TempDir(), t.Output())
	require.NoError(t, err, "this test needs root")
	t.Cleanup(func() { assert.NoError(t, lab.Close()) })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	options := cluster.Numbered(0)
	options.Nodes = 1
	c, err := lab.New(ctx, options)
	require.NoError(t, err)
	crds, err := filepath.Glob("../../../deploy/chart/meshway/crds/service*.yaml")
	require.NoError(t, err)
	require.Len(t, crds, 2)
	for _, path := range crds {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, c.Apply(ctx, string(text)))
	}
	core, mcs, err := controller.Clients(c.REST())
	require.NoError(t, err)
	mcstest.Run(t, func(*testing.T) mcstest.Cluster { return mcstest.Cluster{Kubernetes: core, MCS: mcs} })
}

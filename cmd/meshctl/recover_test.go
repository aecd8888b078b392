package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/admin/adminclient"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/kubectl"
)

// recoverInCluster runs raft recover for a cluster with two gateways.
func recoverInCluster(t *testing.T, args ...string) (r result, gateways map[string]*fakeMeshd) {
	t.Helper()
	gateways = map[string]*fakeMeshd{}
	sockets := map[string]string{}
	for _, name := range []string{"gw1", "gw2"} {
		gateways[name] = &fakeMeshd{snapshot: status.Snapshot{Self: status.Self{ID: "west/" + name}}}
		sockets[name] = serve(t, gateways[name])
	}
	var out, errs bytes.Buffer
	a := newApp(func(string) string { return "" }, strings.NewReader(""), &out, &errs)
	a.gatewayNodes = func(context.Context, kubectl.Cluster) ([]string, error) { return []string{"gw1", "gw2"}, nil }
	a.dialCluster = func(c kubectl.Cluster) controlpbconnect.OperatorClient { return adminclient.Dial(sockets[c.Node]) }
	a.execute = func(context.Context, *app, string, ...string) error {
		t.Error("meshctl --context runs a program on this host")
		return errors.New("not here")
	}
	code := a.main(t.Context(), append([]string{"--context", "west", "raft", "recover"}, args...))
	return result{code: code, out: out.String(), err: errs.String()}, gateways
}

// recoveries returns the recoveries that a gateway was sent, dry runs as "dry".
func recoveries(o *fakeMeshd) []string {
	var list []string
	for _, r := range o.requests {
		if operation, ok := r.(*controlpb.OperateRequest); ok {
			text := strings.Join(operation.GetRecover().GetVoters(), " ")
			if operation.GetRecover().GetDryRun() {
				text = "dry " + text
			}
			list = append(list, text)
		}
	}
	return list
}

func TestRecoverInAClusterRecoversAllItsGateways(t *testing.T) {
	const both = "west/gw1 west/gw2"
	r, gateways := recoverInCluster(t, "--yes")
	require.Equal(t, fault.ExitOK, r.code, r.err)
	assert.Contains(t, r.err, "voters: west/gw1, west/gw2\n  no longer voters: east/gw1\n")
	assert.Contains(t, r.err, "before-recover")
	for name, o := range gateways {
		assert.Equal(t, []string{"dry " + both, both}, recoveries(o), name)
	}
	r, gateways = recoverInCluster(t, "--dry-run")
	require.Equal(t, fault.ExitOK, r.code, r.err)
	assert.Equal(t, "nothing was changed\n", r.out)
	for name, o := range gateways {
		assert.Equal(t, []string{"dry " + both}, recoveries(o), name)
	}
}

func TestRecoverInAClusterIsRefusedBeforeItChangesAnything(t *testing.T) {
	for args, want := range map[string]string{
		"--peer west/gw1 --yes":  "gateway west/gw2 of the cluster is not named",
		"--data-dir /data --yes": "--data-dir is of this host",
		"--meshd ./meshd --yes":  "--meshd is of this host",
		"":                       "needs confirmation",
	} {
		r, gateways := recoverInCluster(t, strings.Fields(args)...)
		assert.Equal(t, fault.ExitUsage, r.code, args)
		assert.Contains(t, r.err, want, args)
		for _, o := range gateways {
			for _, recovery := range recoveries(o) {
				assert.True(t, strings.HasPrefix(recovery, "dry "), args)
			}
		}
	}
}

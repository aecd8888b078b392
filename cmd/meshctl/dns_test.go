package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dnsCluster is a cluster of which only the Corefile matters.
type dnsCluster struct {
	corefile string
	calls    []string
}

func (d *dnsCluster) kubectl(_ context.Context, c cluster, in string, args ...string) (string, error) {
	d.calls = append(d.calls, c.context+" "+args[0])
	switch args[0] {
	case "patch":
		d.corefile = ".:53 {\n    kubernetes cluster.local clusterset.local {\n        multicluster clusterset.local\n    }\n}\n"
	case "apply":
		if !strings.Contains(in, "serviceimports") {
			return "", &fault{message: "no grant"}
		}
	}
	return d.corefile, nil
}

func (d *dnsCluster) run(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := newApp(func(string) string { return "" }, strings.NewReader(""), &stdout, &stderr)
	a.kubectl = d.kubectl
	code = a.main(t.Context(), append([]string{"dns", "enable", "--context", "east"}, args...))
	return stdout.String() + stderr.String(), code
}

func TestDNSIsEnabledOnce(t *testing.T) {
	d := &dnsCluster{corefile: ".:53 {\n    kubernetes cluster.local {\n    }\n}\n"}
	out, code := d.run(t, "--dry-run")
	require.Equal(t, exitOK, code, out)
	assert.Contains(t, out, "+         multicluster clusterset.local")
	assert.Contains(t, out, "kind: ClusterRole")
	assert.Equal(t, []string{"east get"}, d.calls, "a dry run writes nothing")

	out, code = d.run(t)
	require.Equal(t, exitOK, code, out)
	assert.Equal(t, []string{"east get", "east get", "east apply", "east patch"}, d.calls)
	assert.Contains(t, out, "rollout restart", "without the plugin reload")

	out, code = d.run(t)
	require.Equal(t, exitOK, code, out)
	assert.Contains(t, out, "already")
	assert.Equal(t, "east apply", d.calls[len(d.calls)-1])
}

func TestDNSServerOfAnotherKindIsRefused(t *testing.T) {
	d := &dnsCluster{corefile: ".:53 {\n    forward . 192.0.2.1\n}\n"}
	out, code := d.run(t)
	assert.Equal(t, exitRefused, code)
	assert.Contains(t, out, "no kubernetes plugin")
	assert.Equal(t, []string{"east get"}, d.calls)
}

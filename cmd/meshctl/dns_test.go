package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/cmd/meshctl/internal/kubectl"
)

const (
	plainCorefile  = ".:53 {\n    kubernetes cluster.local {\n    }\n}\n"
	reloadCorefile = ".:53 {\n    kubernetes cluster.local {\n    }\n    reload\n}\n"
)

// dnsCluster fakes kubectl for a cluster with two CoreDNS pods.
type dnsCluster struct {
	corefile string
	granted  bool
	reload   time.Duration // time after which both pods read a new Corefile; 0: never
	rejects  bool          // CoreDNS rejects the new Corefile
	written  time.Time
	calls    []string
}

func (d *dnsCluster) kubectl(_ context.Context, c kubectl.Cluster, in string, args ...string) (string, error) {
	if args[0] != "logs" && args[1] != "pods" {
		d.calls = append(d.calls, c.Context+" "+args[0])
	}
	switch args[0] {
	case "get":
		if args[1] == "pods" {
			return "coredns-1\ncoredns-2\n", nil
		}
	case "patch":
		var patch struct{ Data map[string]string }
		if err := json.Unmarshal([]byte(args[len(args)-1]), &patch); err != nil {
			return "", err
		}
		d.corefile, d.written = patch.Data["Corefile"], time.Now()
	case "logs":
		return d.logs(), nil
	case "apply", "delete":
		if !strings.Contains(in, "serviceimports") {
			return "", errors.New("not the RBAC objects")
		}
		d.granted = args[0] == "apply"
	}
	return d.corefile, nil
}

func (d *dnsCluster) logs() string {
	switch {
	case d.reload == 0 || time.Since(d.written) < d.reload:
		return "[ERROR] another message\n"
	case d.rejects:
		return "[ERROR] plugin/reload: Corefile changed but reload failed: unknown property 'multicluster'\n"
	}
	return "[INFO] plugin/reload: Running configuration SHA512 = 07\n"
}

func (d *dnsCluster) run(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := newApp(func(string) string { return "" }, strings.NewReader(""), &stdout, &stderr)
	a.kubectl = d.kubectl
	d.calls = nil
	code = a.main(t.Context(), append([]string{"dns", "--context", "east"}, args...))
	return stdout.String() + stderr.String(), code
}

func TestDNSEnableIsIdempotent(t *testing.T) {
	d := &dnsCluster{corefile: plainCorefile}
	out, code := d.run(t, "enable", "--dry-run")
	require.Equal(t, fault.ExitOK, code, out)
	assert.Contains(t, out, "+         multicluster clusterset.local")
	assert.Contains(t, out, "kind: ClusterRole")
	assert.Equal(t, []string{"east get"}, d.calls, "a dry run writes nothing")

	out, code = d.run(t, "enable")
	require.Equal(t, fault.ExitOK, code, out)
	assert.Equal(t, []string{"east get", "east apply", "east patch"}, d.calls)
	assert.Contains(t, out, "rollout restart", "the Corefile has no reload plugin")

	out, code = d.run(t, "enable")
	require.Equal(t, fault.ExitOK, code, out)
	assert.Contains(t, out, "no change needed")
	assert.Equal(t, []string{"east get", "east apply"}, d.calls)
}

func TestDNSDisableUndoesEnable(t *testing.T) {
	d := &dnsCluster{corefile: plainCorefile}
	_, code := d.run(t, "enable")
	require.Equal(t, fault.ExitOK, code)
	require.True(t, d.granted)
	out, code := d.run(t, "disable")
	require.Equal(t, fault.ExitOK, code, out)
	assert.Equal(t, plainCorefile, d.corefile)
	assert.False(t, d.granted)
	assert.Equal(t, []string{"east get", "east patch", "east delete"}, d.calls, "RBAC is removed after CoreDNS no longer needs it")
}

func TestDNSEnableReturnsWhenCoreDNSHasReloaded(t *testing.T) {
	for name, test := range map[string]struct {
		cluster   dnsCluster
		args      []string
		least     time.Duration // of waiting
		code      int
		want, not string
	}{
		"CoreDNS reloads":        {dnsCluster{reload: 100 * time.Second}, nil, 100 * time.Second, fault.ExitOK, "pod coredns-1 has reloaded\npod coredns-2 has reloaded", ""},
		"without waiting":        {dnsCluster{reload: 100 * time.Second}, []string{"--wait=false"}, 0, fault.ExitOK, "within two minutes", "waiting"},
		"with a restart":         {dnsCluster{}, []string{"--restart"}, 0, fault.ExitOK, "CoreDNS answers", "reload"},
		"CoreDNS rejects it":     {dnsCluster{reload: time.Second, rejects: true}, nil, 0, fault.ExitRefused, "unknown property", "CoreDNS answers"},
		"CoreDNS never reloads":  {dnsCluster{}, nil, longTimeout, fault.ExitNoLeader, "2 CoreDNS pods have not reloaded it yet", "CoreDNS answers"},
		"--timeout passes first": {dnsCluster{reload: 100 * time.Second}, []string{"--timeout", "10s"}, 10 * time.Second, fault.ExitNoLeader, "rollout restart", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, begun := test.cluster, time.Now()
				d.corefile = reloadCorefile
				out, code := d.run(t, append([]string{"enable"}, test.args...)...)
				assert.Equal(t, test.code, code, out)
				assert.Contains(t, out, test.want)
				if test.not != "" {
					assert.NotContains(t, strings.ReplaceAll(out, "    reload", ""), test.not)
				}
				assert.GreaterOrEqual(t, time.Since(begun), test.least)
			})
		})
	}
}

func TestDNSEnableRefusesAnotherDNSServer(t *testing.T) {
	d := &dnsCluster{corefile: ".:53 {\n    forward . 192.0.2.1\n}\n"}
	out, code := d.run(t, "enable")
	assert.Equal(t, fault.ExitRefused, code)
	assert.Contains(t, out, "no kubernetes plugin")
	assert.Equal(t, []string{"east get"}, d.calls)
}

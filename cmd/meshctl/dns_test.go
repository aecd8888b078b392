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
)

const (
	plainCorefile  = ".:53 {\n    kubernetes cluster.local {\n    }\n}\n"
	reloadCorefile = ".:53 {\n    kubernetes cluster.local {\n    }\n    reload\n}\n"
)

// dnsCluster is a cluster of which only CoreDNS matters: it has two pods.
type dnsCluster struct {
	corefile string
	granted  bool
	reload   time.Duration // until both pods have read what is written; 0: never
	refuses  bool          // the new Corefile
	written  time.Time
	calls    []string
}

func (d *dnsCluster) kubectl(_ context.Context, c cluster, in string, args ...string) (string, error) {
	if args[0] != "logs" && args[1] != "pods" {
		d.calls = append(d.calls, c.context+" "+args[0])
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
			return "", errors.New("no grant")
		}
		d.granted = args[0] == "apply"
	}
	return d.corefile, nil
}

func (d *dnsCluster) logs() string {
	switch {
	case d.reload == 0 || time.Since(d.written) < d.reload:
		return "[ERROR] something of others\n"
	case d.refuses:
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

func TestDNSIsEnabledOnce(t *testing.T) {
	d := &dnsCluster{corefile: plainCorefile}
	out, code := d.run(t, "enable", "--dry-run")
	require.Equal(t, exitOK, code, out)
	assert.Contains(t, out, "+         multicluster clusterset.local")
	assert.Contains(t, out, "kind: ClusterRole")
	assert.Equal(t, []string{"east get"}, d.calls, "a dry run writes nothing")

	out, code = d.run(t, "enable")
	require.Equal(t, exitOK, code, out)
	assert.Equal(t, []string{"east get", "east apply", "east patch"}, d.calls)
	assert.Contains(t, out, "rollout restart", "without the plugin reload")

	out, code = d.run(t, "enable")
	require.Equal(t, exitOK, code, out)
	assert.Contains(t, out, "already")
	assert.Equal(t, []string{"east get", "east apply"}, d.calls)
}

func TestDNSIsDisabledCompletely(t *testing.T) {
	d := &dnsCluster{corefile: plainCorefile}
	_, code := d.run(t, "enable")
	require.Equal(t, exitOK, code)
	require.True(t, d.granted)
	out, code := d.run(t, "disable")
	require.Equal(t, exitOK, code, out)
	assert.Equal(t, plainCorefile, d.corefile)
	assert.False(t, d.granted)
	assert.Equal(t, []string{"east get", "east patch", "east delete"}, d.calls, "CoreDNS loses the right when it asks no more")
}

func TestDNSIsEnabledWhenCoreDNSHasReadIt(t *testing.T) {
	for name, test := range map[string]struct {
		cluster   dnsCluster
		args      []string
		takes     time.Duration // at least
		code      int
		want, not string
	}{
		"it reloads":     {dnsCluster{reload: 100 * time.Second}, nil, 100 * time.Second, exitOK, "coredns-1 has read it\ncoredns-2 has read it", ""},
		"not waited for": {dnsCluster{reload: 100 * time.Second}, []string{"--wait=false"}, 0, exitOK, "within two minutes", "waiting"},
		"restarted":      {dnsCluster{}, []string{"--restart"}, 0, exitOK, "CoreDNS answers", "reload"},
		"it refuses":     {dnsCluster{reload: time.Second, refuses: true}, nil, 0, exitRefused, "unknown property", "CoreDNS answers"},
		"it never does":  {dnsCluster{}, nil, longTimeout, exitNoLeader, "2 pods of CoreDNS have not read it yet", "CoreDNS answers"},
		"not in time":    {dnsCluster{reload: 100 * time.Second}, []string{"--timeout", "10s"}, 10 * time.Second, exitNoLeader, "rollout restart", ""},
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
				assert.GreaterOrEqual(t, time.Since(begun), test.takes)
			})
		})
	}
}

func TestDNSServerOfAnotherKindIsRefused(t *testing.T) {
	d := &dnsCluster{corefile: ".:53 {\n    forward . 192.0.2.1\n}\n"}
	out, code := d.run(t, "enable")
	assert.Equal(t, exitRefused, code)
	assert.Contains(t, out, "no kubernetes plugin")
	assert.Equal(t, []string{"east get"}, d.calls)
}

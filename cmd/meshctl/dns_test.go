package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	read     string        // the Corefile that the pods use
	written  time.Time
	calls    []string
	onPatch  func()
	pods     string // the answer of kubectl get pods; empty: two that are ready
	others   string // of further pods, none of which answers
	// interrupt is whether meshctl is interrupted while it writes the Corefile.
	interrupt bool
}

// lookupTXT answers as the pods do.
func (d *dnsCluster) lookupTXT(_ context.Context, _ kubectl.Cluster, pod, port, name string) ([]string, error) {
	if strings.Contains(d.others, pod+"/") {
		return nil, errors.New("connection refused")
	}
	if port != "53" || name != "dns-version.clusterset.local" {
		return nil, errors.New("not the record of the zone")
	}
	if d.reload > 0 && time.Since(d.written) >= d.reload && !d.rejects {
		d.read = d.corefile
	}
	if strings.Contains(d.read, "clusterset.local") {
		return []string{"1.1.0"}, nil
	}
	return nil, nil
}

func (d *dnsCluster) kubectl(ctx context.Context, c kubectl.Cluster, in string, args ...string) (string, error) {
	if args[0] != "logs" && args[1] != "pods" {
		d.calls = append(d.calls, c.Context+" "+args[0])
	}
	switch args[0] {
	case "get":
		if args[1] == "pods" {
			return cmp.Or(d.pods, "coredns-1/53/True/\ncoredns-2//True/\n") + d.others, nil
		}
	case "patch":
		var patch struct{ Data map[string]string }
		if err := json.Unmarshal([]byte(args[len(args)-1]), &patch); err != nil {
			return "", err
		}
		d.corefile, d.written = patch.Data["Corefile"], time.Now()
		if d.onPatch != nil {
			d.onPatch()
			return "", fmt.Errorf("kubectl patch: %w", ctx.Err()) // as the process that is killed
		}
	case "rollout":
		d.read = d.corefile
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
	return ""
}

func (d *dnsCluster) run(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := newApp(func(string) string { return "" }, strings.NewReader(""), &stdout, &stderr)
	a.kubectl, a.lookupTXT = d.kubectl, d.lookupTXT
	d.calls = nil
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if d.interrupt {
		d.onPatch = cancel
	}
	code = a.main(ctx, append([]string{"dns", "--context", "east"}, args...))
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
	assert.Contains(t, out, "rollout restart", "CoreDNS does not use it yet")
	d.read = d.corefile

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
		"CoreDNS reloads":       {dnsCluster{reload: 100 * time.Second}, nil, 100 * time.Second, fault.ExitOK, "pod coredns-1 uses the Corefile\npod coredns-2 uses the Corefile", ""},
		"without waiting":       {dnsCluster{reload: 100 * time.Second}, []string{"--wait=false"}, 0, fault.ExitOK, "within two minutes", "waiting"},
		"with a restart":        {dnsCluster{}, []string{"--restart"}, 0, fault.ExitOK, "CoreDNS answers", "reload"},
		"CoreDNS rejects it":    {dnsCluster{reload: time.Second, rejects: true}, nil, 0, fault.ExitRefused, "unknown property", "CoreDNS answers"},
		"CoreDNS never reloads": {dnsCluster{}, nil, longTimeout, fault.ExitNoLeader, "2 CoreDNS pods do not use it yet", "CoreDNS answers"},
		"pods that are not ready": {
			dnsCluster{reload: 100 * time.Second, others: "evicted/53/False/\nfailing/53/False/\npending/53//\ndeleted/53/True/2026-01-02T03:04:05Z\n"},
			nil, 100 * time.Second, fault.ExitOK, "pod coredns-2 uses the Corefile", "pod evicted",
		},
		"no pod is ready":        {dnsCluster{reload: time.Second, pods: "coredns-1/53/False/\n"}, nil, longTimeout, fault.ExitNoLeader, "1 CoreDNS pods do not use it yet: none is ready", "CoreDNS answers"},
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

// CoreDNS logs no reload of a Corefile that it has already.
func TestDNSEnableAfterAnInterruptedDisableWaitsForNoReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dnsCluster{corefile: reloadCorefile, reload: time.Minute}
		out, code := d.run(t, "enable")
		require.Equal(t, fault.ExitOK, code, out)
		d.interrupt = true
		out, code = d.run(t, "disable")
		assert.Equal(t, fault.ExitInterrupted, code, out)
		assert.Contains(t, out, "interrupted: the Corefile may be written already\n")
		assert.Contains(t, out, "run meshctl dns disable --context east again")
		d.interrupt, d.onPatch = false, nil
		begun := time.Now()
		out, code = d.run(t, "enable")
		assert.Equal(t, fault.ExitOK, code, out)
		assert.Less(t, time.Since(begun), time.Second)
	})
}

// The first run did not wait until CoreDNS uses the Corefile.
func TestDNSEnableAfterAnInterruptedEnableWaitsForCoreDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dnsCluster{corefile: reloadCorefile, reload: time.Minute, interrupt: true}
		out, code := d.run(t, "enable")
		require.Equal(t, fault.ExitInterrupted, code, out)
		d.interrupt, d.onPatch = false, nil
		begun := time.Now()
		out, code = d.run(t, "enable")
		assert.Equal(t, fault.ExitOK, code, out)
		assert.GreaterOrEqual(t, time.Since(begun), time.Minute)
		assert.Contains(t, out, "CoreDNS answers for clusterset.local")
	})
}

func TestDNSEnableRefusesAnotherDNSServer(t *testing.T) {
	d := &dnsCluster{corefile: ".:53 {\n    forward . 192.0.2.1\n}\n"}
	out, code := d.run(t, "enable")
	assert.Equal(t, fault.ExitRefused, code)
	assert.Contains(t, out, "no kubernetes plugin")
	assert.Equal(t, []string{"east get"}, d.calls)
}

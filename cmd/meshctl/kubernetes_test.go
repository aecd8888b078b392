package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// beMeshctl makes the test's program meshctl itself: at the far end of a pipe.
const beMeshctl = "MESHCTL_TEST_BE_MESHCTL"

func TestMain(m *testing.M) {
	if os.Getenv(beMeshctl) != "" {
		os.Exit(run(context.Background(), os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// fakeKubectl is a kubectl of clusters in which every gateway's agent is the
// same meshd. What it was asked is in the file calls.
type fakeKubectl struct {
	nodes, pods string // what it lists, one a line
	complaint   string // with which the word `fails` fails
	fails       string // get or exec
}

func (k fakeKubectl) install(t *testing.T, o *operator) (calls func() []string) {
	t.Helper()
	dir := t.TempDir()
	program, err := os.Executable()
	require.NoError(t, err)
	log := filepath.Join(dir, "calls")
	script := fmt.Sprintf(`#!/bin/sh
printf '%%s\n' "$*" >>'%s'
case "$*" in
*" %s "*) echo '%s' >&2; exit 1 ;;
*" get nodes "*) printf '%s' ;;
*" get pods "*) printf '%s' ;;
*" exec "*) %s=1 exec '%s' --socket '%s' dial-stdio ;;
esac
`, log, orElse(k.fails, "nothing"), k.complaint, k.nodes, k.pods, beMeshctl, program, serve(t, o))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kubectl"), []byte(script), 0o755))
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	return func() []string {
		text, err := os.ReadFile(log)
		require.NoError(t, err)
		return strings.Split(strings.TrimSpace(string(text)), "\n")
	}
}

func inCluster(t *testing.T, args ...string) result {
	t.Helper()
	return runAt(t.Context(), func(string) string { return "" }, "", args...)
}

const twoGateways = `b\na\n`

const threeAgents = `c/agent-c\nb/agent-b\na/agent-a\n`

func TestContextLeadsToTheFirstGatewaysAgent(t *testing.T) {
	o := &operator{snapshot: healthy()}
	calls := fakeKubectl{nodes: twoGateways, pods: threeAgents}.install(t, o)
	r := inCluster(t, "--context", "east", "--meshway-namespace", "mesh", "status")
	require.Equal(t, exitOK, r.code, r.err)
	golden(t, "status-healthy", r.out)
	all := calls()
	require.Len(t, all, 3)
	assert.Contains(t, all[0], "--context east --namespace mesh get nodes -l meshway.io/gateway=true ")
	assert.Contains(t, all[1], "--context east --namespace mesh get pods -l app.kubernetes.io/name=meshway,app.kubernetes.io/component=agent ")
	assert.Equal(t, "--context east --namespace mesh exec -i agent-a -c meshd -- meshctl dial-stdio", all[2])
}

func TestGatewayWithoutAgentIsPassedOver(t *testing.T) {
	calls := fakeKubectl{nodes: twoGateways, pods: `b/agent-b\n`}.install(t, &operator{snapshot: healthy()})
	require.Equal(t, exitOK, inCluster(t, "--context", "east", "status").code)
	assert.Contains(t, calls()[2], "exec -i agent-b ")
}

func TestJoinViaUsesATokenOfTheOtherCluster(t *testing.T) {
	o := &operator{snapshot: healthy(), steps: joinSteps()}
	calls := fakeKubectl{nodes: twoGateways, pods: threeAgents}.install(t, o)
	r := inCluster(t, "join", "--context", "west", "--via", "east")
	require.Equal(t, exitOK, r.code, r.err)
	assert.NotContains(t, r.out+r.err, secretToken)
	all := strings.Join(calls(), "\n")
	assert.Contains(t, all, "--context east --namespace meshway-system exec")
	assert.Contains(t, all, "--context west --namespace meshway-system exec")
	assert.NotContains(t, all, secretToken, "arguments show in ps")
	assert.Len(t, o.asked, 2, "a token, and a join with it")
}

func TestClusterThatCannotBeReachedIsNamedWithARemedy(t *testing.T) {
	for name, test := range map[string]struct {
		kubectl fakeKubectl
		want    []string
	}{
		"no gateway": {
			fakeKubectl{pods: threeAgents},
			[]string{"cluster east has no gateway", "kubectl --context east label node NODE meshway.io/gateway=true"},
		},
		"no agent on the gateways": {
			fakeKubectl{nodes: twoGateways, pods: `c/agent-c\n`},
			[]string{"no agent runs on the gateways of cluster east (a, b)", "--meshway-namespace"},
		},
		"no such context": {
			fakeKubectl{fails: "get", complaint: `error: context "east" does not exist`},
			[]string{`kubectl get nodes in cluster east: error: context "east" does not exist`, "kubectl config get-contexts"},
		},
		"the container is not running": {
			fakeKubectl{nodes: twoGateways, pods: threeAgents, fails: "exec", complaint: "error: unable to upgrade connection: container not found"},
			[]string{"container not found", "see whether the agent's pod is ready"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.kubectl.install(t, &operator{})
			r := inCluster(t, "--context", "east", "status")
			assert.Equal(t, exitUnreachable, r.code, r.err)
			for _, want := range test.want {
				assert.Contains(t, r.err, want)
			}
		})
	}
}

func TestWithoutKubectlTheRemedyIsToInstallIt(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, args := range [][]string{{"status"}, {"dns", "enable"}} {
		r := inCluster(t, append([]string{"--context", "east"}, args...)...)
		assert.Equal(t, exitUnreachable, r.code)
		assert.Contains(t, r.err, "install kubectl", args)
	}
}

func TestFarEndWithoutMeshdSaysSo(t *testing.T) {
	r := inCluster(t, "--socket", filepath.Join(t.TempDir(), "none.sock"), "dial-stdio")
	assert.Equal(t, exitFailure, r.code)
	assert.Contains(t, r.err, "connect with meshd")
}

func TestClosingAPipeEndsItsProcess(t *testing.T) {
	p, err := startPipe(exec.CommandContext(t.Context(), "sleep", "600"))
	require.NoError(t, err)
	begun := time.Now()
	require.NoError(t, p.Close())
	assert.Less(t, time.Since(begun), time.Minute)
	assert.NotNil(t, p.cmd.ProcessState, "nobody is left behind")
}

func TestPipeCarriesBothWaysUntilTheFarEndEnds(t *testing.T) {
	p, err := startPipe(exec.CommandContext(t.Context(), "head", "-c", "4"))
	require.NoError(t, err)
	defer p.Close()
	_, err = p.Write([]byte("ping"))
	require.NoError(t, err)
	buffer := make([]byte, 4)
	n, err := p.Read(buffer)
	require.NoError(t, err)
	assert.Equal(t, "ping", string(buffer[:n]))
	_, err = p.Read(buffer)
	assert.Error(t, err)
	assert.Equal(t, "kubectl exec", p.RemoteAddr().String())
}

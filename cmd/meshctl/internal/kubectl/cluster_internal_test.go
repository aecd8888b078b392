package kubectl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
)

// fakeKubectl puts a kubectl into the PATH that prints lines for pods, and for nodes
// the one with the label that the request names.
func fakeKubectl(t *testing.T, pods ...string) {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\ncase \"$*\" in\n*'get pods'*) printf '%s\\n' '" + strings.Join(pods, "' '") + "' ;;\n" +
		"*'get nodes -l example.com/gw=yes '*) echo b ;;\n*'get nodes -l meshway.io/gateway=true '*) echo a ;;\nesac\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kubectl"), []byte(script), 0o700))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestGatewaysHaveTheLabelOfTheChart(t *testing.T) {
	for label, want := range map[string]string{"": "agent-a", "example.com/gw=yes": "agent-b"} {
		t.Run(label, func(t *testing.T) {
			fakeKubectl(t, "a/agent-a/agent/True//"+label, "b/agent-b/agent/True//"+label)
			pod, err := Cluster{Context: "east", Namespace: ChartNamespace}.gatewayPod(t.Context())
			require.NoError(t, err)
			assert.Equal(t, want, pod)
		})
	}
	fakeKubectl(t, "c/agent-c/agent/True//example.com/other=yes")
	_, err := Cluster{Context: "east", Namespace: ChartNamespace}.gatewayPod(t.Context())
	var f *fault.Fault
	require.ErrorAs(t, err, &f)
	assert.Contains(t, f.Remedy, "label node NODE example.com/other=yes")
}

// A node that becomes a gateway, or a gateway whose pod is replaced, has two pods for a
// moment.
func TestPodThatGoesOnAsGatewayIsUsed(t *testing.T) {
	for name, tc := range map[string]struct{ pods, want string }{
		"that of the node is still there": {"a/agent-n/node/True//", ""},
		"both are there":                  {"a/agent-n/node/True// a/agent-g/agent/False//", "agent-g"},
		"one is being deleted":            {"a/agent-old/agent/True/2026-11-30T11:12:41Z/ a/agent-new/agent/True//", "agent-new"},
		"all are being deleted":           {"a/agent-old/agent/True/2026-11-30T11:12:41Z/", "agent-old"},
	} {
		t.Run(name, func(t *testing.T) {
			fakeKubectl(t, strings.Fields(tc.pods)...)
			pod, err := Cluster{Context: "east", Namespace: ChartNamespace}.gatewayPod(t.Context())
			assert.Equal(t, tc.want, pod)
			assert.Equal(t, tc.want == "", err != nil, "%v", err)
		})
	}
}

func TestReadyGatewayIsPreferred(t *testing.T) {
	pod := func(node string, ready bool) agent { return agent{node: node, pod: "agent-" + node, ready: ready} }
	for name, tc := range map[string]struct {
		pods []agent
		want string
	}{
		"all are ready":        {[]agent{pod("b", true), pod("a", true), pod("n", true)}, "agent-a"},
		"the first is not":     {[]agent{pod("a", false), pod("b", true)}, "agent-b"},
		"none is ready":        {[]agent{pod("a", false), pod("b", false)}, "agent-a"},
		"no agent on gateways": {[]agent{pod("n", true)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := agentOn([]string{"a", "b"}, tc.pods)
			assert.Equal(t, tc.want, got)
			assert.Equal(t, tc.want != "", ok)
		})
	}
}

func TestErrorsOfKubectlOmitItsLog(t *testing.T) {
	const log = `E1123 00:26:46.839447   15932 memcache.go:265] "Unhandled Error" err="connection refused"` + "\n"
	assert.Equal(t, "The connection to the server localhost:8080 was refused",
		kubectlMessage(log+log+"The connection to the server localhost:8080 was refused\n"))
	assert.Equal(t, "error: context \"west\" does not exist", kubectlMessage("error: context \"west\" does not exist\n"))
	assert.Equal(t, "Error 1234 is no line of a log", kubectlMessage("Error 1234 is no line of a log"))
}

func TestAFailedCallNamesTheFlagThatChoosesAnotherContext(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kubectl"), []byte("#!/bin/sh\necho 'error: context \"wrong\" does not exist' >&2\nexit 1\n"), 0o755))
	t.Setenv("PATH", dir)
	c := Cluster{Context: "wrong", Namespace: ChartNamespace}
	_, listErr := c.Gateways(t.Context())
	_, runErr := Run(t.Context(), c, "", "get", "pods")
	for _, err := range []error{listErr, runErr} {
		var f *fault.Fault
		require.ErrorAs(t, err, &f)
		assert.Equal(t, fault.ExitUnreachable, f.Code)
		assert.Contains(t, f.Message, `context "wrong" does not exist`)
		assert.Equal(t, "check that kubectl --context wrong -n meshway-system get pods succeeds, "+
			"or name another context of kubectl config get-contexts with --context", f.Remedy)
	}
}

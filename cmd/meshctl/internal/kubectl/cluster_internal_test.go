package kubectl

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestReadyGatewayIsPreferred(t *testing.T) {
	for name, tc := range map[string]struct {
		pods []string
		want string
	}{
		"all are ready":        {[]string{"b/agent-b/True", "a/agent-a/True", "n/agent-n/True"}, "agent-a"},
		"the first is not":     {[]string{"a/agent-a/False", "b/agent-b/True"}, "agent-b"},
		"none is ready":        {[]string{"a/agent-a/False", "b/agent-b/"}, "agent-a"},
		"no agent on gateways": {[]string{"n/agent-n/True"}, ""},
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

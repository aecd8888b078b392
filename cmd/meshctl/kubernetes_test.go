package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAReadyGatewayIsAskedFirst(t *testing.T) {
	for name, tc := range map[string]struct {
		pods []string
		want string
	}{
		"the first":            {[]string{"b/agent-b/True", "a/agent-a/True", "n/agent-n/True"}, "agent-a"},
		"the ready one":        {[]string{"a/agent-a/False", "b/agent-b/True"}, "agent-b"},
		"if none, still one":   {[]string{"a/agent-a/False", "b/agent-b/"}, "agent-a"},
		"no agent on gateways": {[]string{"n/agent-n/True"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := agentOn([]string{"a", "b"}, tc.pods)
			assert.Equal(t, tc.want, got)
			assert.Equal(t, tc.want != "", ok)
		})
	}
}

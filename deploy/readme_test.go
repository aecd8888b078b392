package deploy_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// readmeCommands returns the commands of the README, each with a file of the tests that
// run it and what that file contains. Those of a cluster run in e2e/kubernetes, those of
// hosts in e2e/demo or e2e/netns.
func readmeCommands() map[string][2]string {
	const install, dns = "../e2e/kubernetes/install/install.go", "../e2e/kubernetes/install/dns.go"
	return map[string][2]string{
		"make demo":            {"../.ci/run", "make demo once=1"},
		"make test":            {"../Makefile", ".ci/fresh $(or $(only),demo test)"},
		"meshctl init":         {"../e2e/demo/tour.go", `"init"`},
		"meshctl token create": {"../e2e/harness/gateway.go", `"token", "create"`},
		"meshctl join -":       {"../e2e/netns/join_root_test.go", `"join"`},
		"meshctl status":       {"../e2e/harness/gateway.go", `"status"`},

		"make image": {"../.ci/run", "make image"},
		"helm install meshway deploy/chart/meshway -n meshway-system --create-namespace --set datacenter.name=east --set image.repository=REGISTRY/meshway --set image.tag=dev": {install, `"helm", "install"`},
		"kubectl --context east label node NODE meshway.io/gateway=true":                {install, `"label", "node"`},
		"meshctl init --context east":                                                   {install, `"init", "--context"`},
		"meshctl join --context west --via east":                                        {install, `"join", "--context"`},
		"meshctl dns enable --context west":                                             {dns, `"dns", "enable"`},
		"kubectl --context east apply -f deploy/examples/kubernetes/serviceexport.yaml": {"../e2e/kubernetes/install/shop.go", "deploy/examples/kubernetes/serviceexport.yaml"},
	}
}

func TestEachCommandInTheReadmeIsRunByATest(t *testing.T) {
	prompt := regexp.MustCompile(`^[a-z]+# +`)
	found := map[string]bool{}
	text := regexp.MustCompile(` *\\\n +`).ReplaceAllString(read(t, "../README.md"), " ") // a command in several lines
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "    ") {
			continue
		}
		command, _, _ := strings.Cut(prompt.ReplaceAllString(strings.TrimSpace(line), ""), "  ")
		program, _, _ := strings.Cut(command, " ")
		if !strings.Contains(" make meshctl meshd helm kubectl ", " "+program+" ") {
			continue
		}
		found[command] = true
		run, ok := readmeCommands()[command]
		if assert.True(t, ok, "no test runs %q", command) {
			assert.Contains(t, read(t, run[0]), run[1], "%q", command)
		}
	}
	require.Len(t, found, len(readmeCommands()), "commands that the README no longer has")
}

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

// pageCommands returns those of the other pages, in the same form. Those without a file
// are not run, for the reason that replaces it.
func pageCommands() map[string][2]string {
	const (
		netns      = "../e2e/netns/"
		federation = "../e2e/kubernetes/federation/"
		install    = "../e2e/kubernetes/install/install.go"
		systemd    = "the hosts of tests have no systemd"
		firewall   = "an example for the firewall of the host"
	)
	unit := [2]string{"", systemd}
	return map[string][2]string{
		"meshctl status":                                       {"../e2e/harness/gateway.go", `"status"`},
		"meshctl routes":                                       {"../e2e/demo/tour.go", `"routes", "-o", "wide"`},
		"meshctl raft list-peers":                              {"../e2e/demo/leader.go", `"raft", "list-peers"`},
		"meshctl events":                                       {"../cmd/meshctl/output_test.go", `{"events"}`},
		"meshctl token create --datacenter west":               {netns + "join_root_test.go", `"--datacenter", "south"`},
		"meshctl join -":                                       {netns + "join_root_test.go", `"join"`},
		"meshctl drain --for 30m":                              {"../e2e/upgrade/upgrade_root_test.go", `"drain"`},
		"meshctl undrain":                                      {"../e2e/upgrade/upgrade_root_test.go", `"undrain"`},
		"meshctl trust show":                                   {netns + "rotation_root_test.go", `"trust", "show"`},
		"meshctl trust accept west --fingerprint SHA256":       {federation + "uninstall_root_test.go", `"trust", "accept", c.Name(), "--fingerprint"`},
		"meshctl ca rotate --dry-run":                          {netns + "rotation_root_test.go", `"ca", "rotate", "--dry-run"`},
		"meshctl ca rotate":                                    {netns + "rotation_root_test.go", `"ca", "rotate", "--yes"`},
		"meshctl snapshot save catalog-$(date +%F).snap":       {netns + "catalog_root_test.go", `"snapshot", "save"`},
		"meshctl snapshot inspect catalog-$(date +%F).snap":    {netns + "catalog_root_test.go", `"snapshot", "inspect"`},
		"meshctl snapshot restore FILE --dry-run":              {"../cmd/meshctl/commands_test.go", `"snapshot", "restore", file, "--dry-run"`},
		"meshctl snapshot restore FILE":                        {netns + "catalog_root_test.go", `"snapshot", "restore"`},
		"meshctl --context west raft recover --dry-run":        {federation + "recover_root_test.go", `"--dry-run"`},
		"meshctl --context west raft recover":                  {federation + "recover_root_test.go", `"raft", "recover"`},
		"meshctl raft recover --peer east/gw1 --peer west/gw1": {netns + "catalog_root_test.go", `"raft", "recover"`},
		"meshctl token create --datacenter witness":            {netns + "witness_root_test.go", `"token", "create", "--datacenter", "witness"`},
		"meshctl members":                                      {netns + "witness_root_test.go", `"members"`},
		"meshctl leave --release":                              {netns + "cleanup_root_test.go", `"leave", "--yes", "--release"`},
		"meshd uninstall --purge":                              {netns + "cleanup_root_test.go", `"--purge"`},
		"systemctl stop meshd":                                 unit,
		"systemctl start meshd":                                unit,
		"systemctl restart meshd":                              unit,
		"systemctl disable --now meshd":                        unit,
		"install -m 0755 meshd meshctl /usr/local/bin/":        {"", "the tests run programs where they are built"},

		"kubectl label node NODE meshway.io/gateway=true":                                                                                             {install, `"label", "node"`},
		"kubectl annotate node NODE meshway.io/pod-cidrs=PREFIX,…":                                                                                    {"../agent/kube/discovery_test.go", "PodCIDRsAnnotation"},
		"kubectl annotate namespace shop meshway.io/import=true":                                                                                      {"../agent/kube/mcs/controller/registered_test.go", "meshway.io/import=true"},
		"kubectl annotate namespace shop meshway.io/import=north,south":                                                                               {"../agent/kube/mcs/controller/registered_test.go", "import-annotation"},
		"helm install meshway oci://ghcr.io/meshway/charts/meshway --version VERSION -n meshway-system --create-namespace --set datacenter.name=east": {install, `"helm", "install"`},
		"helm install meshway oci://ghcr.io/meshway/charts/meshway --version 0.2.0 -n meshway-system --create-namespace --set datacenter.name=east":   {install, `"helm", "install"`},
		"kubectl krew install --manifest=meshway.yaml":                                                                                                {"../.ci/release/krew/krew_test.go", "krew.File"},
		"helm upgrade meshway meshway-VERSION.tgz -n meshway-system --reset-then-reuse-values":                                                        {federation + "installation_root_test.go", `helm("upgrade")`},
		"helm show crds meshway-VERSION.tgz kubectl apply --server-side --force-conflicts -l app.kubernetes.io/part-of=meshway -f -":                  {federation + "installation_root_test.go", "helm show crds CHART"},
		"helm show crds CHART | kubectl apply --server-side --force-conflicts -l app.kubernetes.io/part-of=meshway -f -":                              {federation + "installation_root_test.go", "helm show crds CHART"},
		"helm uninstall meshway -n meshway-system":                                                                                                    {federation + "uninstall_root_test.go", `"helm", "uninstall", "meshway"`},
		"meshctl init --context east": {install, `"init", "--context"`},

		"iptables -I FORWARD -i mesh+ -j ACCEPT":                                 {netns + "filters_root_test.go", "iptables -I FORWARD -i mesh+ -j ACCEPT"},
		"iptables -I FORWARD -o mesh+ -j ACCEPT":                                 {netns + "filters_root_test.go", "iptables -I FORWARD -o mesh+ -j ACCEPT"},
		"nft add rule inet filter input udp dport 51820-51823 accept":            {"", firewall},
		"nft add rule inet filter input tcp dport 7443 accept":                   {"", firewall},
		"nft add rule inet filter input udp dport { 51820-51823, 51883 } accept": {"", firewall},
		"nft add rule inet filter input icmp type echo-request accept":           {"", firewall},

		"umask 077": {"", "a command of the shell"},
		`echo "scraper read $(openssl rand -hex 32)" >> /etc/meshway/tokens`:                                                     {"", "the tests have tokens of their own"},
		`api List '{"namespace":"default","labels":"app=web,tier!=back,zone,!old"}'`:                                             {netns + "programs_root_test.go", `west, "List"`},
		`api Get '{"name":"web","instance":"a","read":"consistent"}'`:                                                            {"../agent/api/write_test.go", "&apipb.GetRequest"},
		`api Register '{"service":{"name":"web","instance":"a","address":"10.1.0.5","ports":[{"protocol":"tcp","number":80}]}}'`: {netns + "programs_root_test.go", `"Register"`},
		`api Deregister '{"name":"web","instance":"a"}'`:                                                                         {netns + "programs_root_test.go", `"Deregister"`},
	}
}

func TestEachCommandInTheDocumentationIsRunByATestOrHasAReason(t *testing.T) {
	found := map[string]bool{}
	for _, c := range docCommands(t) {
		if c.file == "../README.md" {
			continue
		}
		command, _, _ := strings.Cut(strings.Join(c.words, " "), " #")
		found[command] = true
		run, ok := pageCommands()[command]
		if !assert.True(t, ok, "%s: no test runs %q", c.file, command) {
			continue
		}
		if run[0] == "" {
			assert.NotEmpty(t, run[1], "%q", command)
		} else {
			assert.Contains(t, read(t, run[0]), run[1], "%q", command)
		}
	}
	require.Len(t, found, len(pageCommands()), "commands that the pages no longer have")
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

//go:build linux && root

package federation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
)

// serversManifest are those of one node: in a pod, and in the node's own network; a
// service leads to the pods of all nodes.
const serversManifest = `
apiVersion: v1
kind: Pod
metadata: {name: echo-%[1]d, labels: {app: echo}}
spec:
  nodeName: %[2]s
  terminationGracePeriodSeconds: 0
  containers: [{name: echo, image: meshway.test/echo:1, imagePullPolicy: Never}]
---
apiVersion: v1
kind: Pod
metadata: {name: host-%[1]d, labels: {app: host}}
spec:
  nodeName: %[2]s
  hostNetwork: true
  terminationGracePeriodSeconds: 0
  containers: [{name: echo, image: meshway.test/echo:1, imagePullPolicy: Never, args: ["-listen=:8081"]}]
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec:
  selector: {app: echo}
  ipFamilyPolicy: PreferDualStack
  ports: [{port: 80, targetPort: 8080}]
`

// client is where a request comes from: a pod, or a node itself.
type client struct {
	name    string
	cluster *cluster.Cluster
	exec    func(ctx context.Context, script string) (string, error)
	sources []netip.Prefix // what it may be seen as
	// usesDNS tells whether it asks the cluster's DNS.
	usesDNS bool
}

// target is what a request is for.
type target struct {
	name string
	url  string
	v6   bool
	pods []string // one of these answers
}

// workloads is what of one cluster takes part in the matrix.
type workloads struct {
	clients []client
	targets []target
}

// startWorkloads starts servers on each node and returns them with their clients.
func (tb *testbed) startWorkloads(t *testing.T, c *cluster.Cluster) workloads {
	t.Helper()
	for i, node := range c.Nodes() {
		require.NoError(t, c.Apply(within(t, timeout), fmt.Sprintf(serversManifest, i, node.Name)))
	}
	tb.exec(t, "kubectl", "--context", c.Name(), "wait", "pod", "-l", "app in (echo,host)", "--for=condition=Ready", "--timeout=60s")
	var s workloads
	var pods []string
	for i, node := range c.Nodes() {
		pod := fmt.Sprintf("echo-%d", i)
		pods = append(pods, pod)
		addresses := tb.addresses(t, c, "pod", pod, "{.status.podIPs[*].ip}")
		s.clients = append(s.clients, podClient(c, pod, addresses), tb.nodeClient(t, c, node))
		s.targets = append(s.targets, targets(pod, addresses, 8080, pod)...)
		// Programs in a node's network have the node's name.
		s.targets = append(s.targets, targets(node.Name, node.Addresses, 8081, node.Name)...)
	}
	s.targets = append(s.targets, targets("service", tb.addresses(t, c, "service", "echo", "{.spec.clusterIPs[*]}"), 80, pods...)...)
	return s
}

func (tb *testbed) addresses(t *testing.T, c *cluster.Cluster, kind, name, path string) []netip.Addr {
	t.Helper()
	var addresses []netip.Addr
	for _, text := range strings.Fields(tb.exec(t, "kubectl", "--context", c.Name(), "get", kind, name, "-o", "jsonpath="+path)) {
		addr, err := netip.ParseAddr(text)
		require.NoError(t, err)
		addresses = append(addresses, addr)
	}
	require.Len(t, addresses, len(c.Options().PodCIDRs), "%s %s of %s", kind, name, c.Name())
	return addresses
}

// podClient is seen as itself: whatever its CNI translates elsewhere.
func podClient(c *cluster.Cluster, pod string, addresses []netip.Addr) client {
	p := client{name: c.Name() + " " + pod, cluster: c, usesDNS: true}
	p.exec = func(ctx context.Context, script string) (string, error) {
		return c.Kubectl(ctx, "exec", pod, "--", "sh", "-c", script)
	}
	for _, a := range addresses {
		p.sources = append(p.sources, netip.PrefixFrom(a, a.BitLen()))
	}
	return p
}

// nodeClient is seen as an address that the node itself has on the underlay or on
// the bridge of its pods, but not inside of the tunnels.
func (tb *testbed) nodeClient(t *testing.T, c *cluster.Cluster, node *cluster.Node) client {
	t.Helper()
	p := client{name: node.Name, cluster: c}
	p.exec = func(ctx context.Context, script string) (string, error) {
		return node.Exec(ctx, "sh", "-c", script)
	}
	out, err := node.Exec(within(t, timeout), "ip", "-oneline", "address", "show", "scope", "global")
	require.NoError(t, err)
	for line := range strings.Lines(out) { // 2: eth0 inet 203.0.113.34/27 …
		fields := strings.Fields(line)
		if strings.HasPrefix(fields[1], "mesh") {
			continue
		}
		prefix, err := netip.ParsePrefix(fields[3])
		require.NoError(t, err)
		p.sources = append(p.sources, netip.PrefixFrom(prefix.Addr(), prefix.Addr().BitLen()))
	}
	return p
}

func targets(name string, addresses []netip.Addr, port uint16, pods ...string) []target {
	var list []target
	for _, a := range addresses {
		list = append(list, target{name: name, url: "http://" + netip.AddrPortFrom(a, port).String() + "/", v6: a.Is6(), pods: pods})
	}
	return list
}

// TestClusters brings clusters up once for all promises. They differ: in the
// first one kube-proxy works with iptables, and the CNI masquerades.
func TestClusters(t *testing.T) {
	tb := newTestbed(t, func(n int, o *cluster.Options) {
		if n == 0 {
			o.ProxyMode, o.IPMasq = cluster.IPTables, true
		}
		*o = o.DualStack(n)
	})
	sites := map[*cluster.Cluster]workloads{}
	for _, c := range tb.clusters {
		sites[c] = tb.startWorkloads(t, c)
	}
	t.Run("everybody reaches pods, nodes and services elsewhere under the own address", func(t *testing.T) { tb.testTraffic(t, sites) })
	t.Run("a node port leads elsewhere, at each node", func(t *testing.T) { tb.testNodePort(t, sites) })
	t.Run("datacenters are seen in each cluster", tb.testInventory)
	t.Run("an exported service is used by name", func(t *testing.T) { tb.testServices(t, sites) })
	t.Run("a service of two clusters fails over", func(t *testing.T) { tb.testFailover(t, sites) })
	t.Run("traffic goes on while an API server is away", func(t *testing.T) { tb.testAPIServerAway(t, sites) })
	t.Run("a rolling update loses no request", func(t *testing.T) { tb.testRollingUpdate(t, sites) })
	t.Run("a cluster that is gone is taken out by another, and may come back", func(t *testing.T) { tb.testRemoval(t, sites) })
	t.Run("leaving removes what was written", tb.testLeave)
	t.Run("helm uninstall leaves nothing", tb.testUninstall)
}

func (tb *testbed) testTraffic(t *testing.T, sites map[*cluster.Cluster]workloads) {
	for _, from := range tb.clusters {
		for _, to := range tb.clusters {
			if from == to {
				continue
			}
			for _, p := range sites[from].clients {
				t.Run(p.name+" to "+to.Name(), func(t *testing.T) {
					tb.awaitFor(t, timeout/3, "all answer", func(ctx context.Context) error { return p.checkTargets(ctx, sites[to].targets) })
				})
			}
		}
	}
}

// checkTargets holds that all targets answer, each also to a request that does not
// fit into one packet, and that they see who asks.
func (p client) checkTargets(ctx context.Context, list []target) error {
	var script strings.Builder
	for _, to := range list {
		fmt.Fprintf(&script, "head -c 20000 /dev/zero | curl -sS --max-time 3 --data-binary @- '%s' 2>&1 | tr '\\n' ' '; echo\n", to.url)
	}
	out, err := p.exec(ctx, script.String())
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	var errs []error
	for i, to := range list {
		if i >= len(lines) {
			return fmt.Errorf("only %d answers: %s", len(lines), out)
		}
		if err := p.checkAnswer(to, lines[i]); err != nil {
			errs = append(errs, fmt.Errorf("%s at %s: %w", to.name, to.url, err))
		}
	}
	return errors.Join(errs...)
}

func (p client) checkAnswer(to target, line string) error {
	var answer echoAnswer
	if err := json.Unmarshal([]byte(line), &answer); err != nil {
		return fmt.Errorf("%w: %q", err, line)
	}
	if !slices.Contains(to.pods, answer.Pod) {
		return fmt.Errorf("%s answered", answer.Pod)
	}
	source, err := netip.ParseAddr(answer.Source)
	if err != nil || source.Is6() != to.v6 || !slices.ContainsFunc(p.sources, func(own netip.Prefix) bool { return own.Contains(source) }) {
		return fmt.Errorf("it saw %s, not one of %s", answer.Source, p.sources)
	}
	return nil
}

// checkServers holds that these pods, and no others, answer to a number of requests:
// curl's arguments say how they are sent. "nobody" answers those that fail.
func (p client) checkServers(ctx context.Context, arguments string, want ...string) error {
	out, err := p.exec(ctx, "for i in 1 2 3 4 5 6 7 8 9 10; do curl -s --max-time 3 "+arguments+" || echo '{\"pod\":\"nobody\"}'; done")
	if err != nil {
		return err
	}
	var pods []string
	for line := range strings.Lines(out) {
		var answer echoAnswer
		if err := json.Unmarshal([]byte(line), &answer); err != nil {
			return fmt.Errorf("%w: %q", err, line)
		}
		pods = append(pods, answer.Pod)
	}
	slices.Sort(pods)
	if pods = slices.Compact(pods); !slices.Equal(pods, want) {
		return fmt.Errorf("%s gets answers of %s, not of %s", p.name, pods, want)
	}
	return nil
}

// startRequests sends a request each 50 ms, until the function that it returns is
// called, which returns what failed.
func (tb *testbed) startRequests(t *testing.T, from client, url string) (stop func() []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*timeout)
	t.Cleanup(cancel)
	flag := fmt.Sprintf("/run/stop-%d", time.Now().UnixNano())
	const script = "mkdir -p /run; while [ ! -e %s ]; do curl -sS -o /dev/null --max-time 2 '%s' && echo sent || echo lost at $(date +%%T); sleep 0.05; done"
	var out string
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		out, failed = from.exec(ctx, fmt.Sprintf(script, flag, url))
	}()
	return func() []string {
		_, err := from.exec(ctx, "touch "+flag)
		require.NoError(t, err)
		<-done
		require.NoError(t, failed)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		assert.Contains(t, lines, "sent", "requests from %s to %s", from.name, url)
		return slices.DeleteFunc(lines, func(line string) bool { return line == "sent" })
	}
}

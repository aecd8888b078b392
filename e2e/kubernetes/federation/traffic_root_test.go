//go:build linux && root

package federation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
)

// serversManifest has the servers of a node, one in a pod and one in the node's
// network, and a service of the pods of all nodes.
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

// client sends requests from a pod or from a node.
type client struct {
	name    string
	cluster *cluster.Cluster
	exec    func(ctx context.Context, script string) (string, error)
	sources []netip.Prefix // possible source addresses of its requests
	// usesDNS reports whether the client resolves names with the cluster's DNS.
	usesDNS bool
}

// target is the destination of a request.
type target struct {
	name string
	url  string
	v6   bool
	pods []string // the pods that may answer
}

// workloads are the clients and targets of a cluster.
type workloads struct {
	clients []client
	targets []target
}

// startWorkloads starts servers on each node and returns the clients and targets
// of the cluster.
func (tb *testbed) startWorkloads(t *testing.T, c *cluster.Cluster) workloads {
	t.Helper()
	for i, node := range c.Nodes() {
		require.NoError(t, c.Apply(within(t, timeout), fmt.Sprintf(serversManifest, i, node.Name)))
	}
	tb.exec(t, "kubectl", "--context", c.Name(), "wait", "pod", "-l", "app in (echo,host)", "--for=condition=Ready", "--timeout=60s")
	var w workloads
	var pods []string
	for i, node := range c.Nodes() {
		pod := fmt.Sprintf("echo-%d", i)
		pods = append(pods, pod)
		addresses := tb.addresses(t, c, "pod", pod, "{.status.podIPs[*].ip}")
		w.clients = append(w.clients, podClient(c, pod, addresses), tb.nodeClient(t, c, node))
		w.targets = append(w.targets, targets(pod, addresses, 8080, pod)...)
		// Servers in a node's network answer with the node's name.
		w.targets = append(w.targets, targets(node.Name, node.Addresses, 8081, node.Name)...)
	}
	w.targets = append(w.targets, targets("service", tb.addresses(t, c, "service", "echo", "{.spec.clusterIPs[*]}"), 80, pods...)...)
	return w
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

// podClient returns a client in a pod. Requests through the tunnels have the
// pod's addresses as sources, even if the CNI masquerades other traffic.
func podClient(c *cluster.Cluster, pod string, addresses []netip.Addr) client {
	from := client{name: c.Name() + " " + pod, cluster: c, usesDNS: true}
	from.exec = func(ctx context.Context, script string) (string, error) {
		return c.Kubectl(ctx, "exec", pod, "--", "sh", "-c", script)
	}
	for _, a := range addresses {
		from.sources = append(from.sources, netip.PrefixFrom(a, a.BitLen()))
	}
	return from
}

// nodeClient returns a client on a node. Its requests have a source address of the
// node on the underlay or on the bridge of its pods, not of a tunnel.
func (tb *testbed) nodeClient(t *testing.T, c *cluster.Cluster, node *cluster.Node) client {
	t.Helper()
	from := client{name: node.Name, cluster: c}
	from.exec = func(ctx context.Context, script string) (string, error) {
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
		from.sources = append(from.sources, netip.PrefixFrom(prefix.Addr(), prefix.Addr().BitLen()))
	}
	return from
}

func targets(name string, addresses []netip.Addr, port uint16, pods ...string) []target {
	var list []target
	for _, a := range addresses {
		list = append(list, target{name: name, url: "http://" + netip.AddrPortFrom(a, port).String() + "/", v6: a.Is6(), pods: pods})
	}
	return list
}

// TestFederationOfDualStackClusters runs its subtests on the same clusters. In the
// first cluster, kube-proxy uses iptables and the CNI masquerades.
func TestFederationOfDualStackClusters(t *testing.T) {
	tb := newTestbed(t, func(n int, o *cluster.Options) {
		if n == 0 {
			o.ProxyMode, o.IPMasq = cluster.IPTables, true
		}
		*o = o.DualStack(n)
	})
	all := map[*cluster.Cluster]workloads{}
	for _, c := range tb.clusters {
		all[c] = tb.startWorkloads(t, c)
	}
	t.Run("pods and nodes reach pods, nodes and services of other clusters with their own address", func(t *testing.T) { tb.testTraffic(t, all) })
	t.Run("each node forwards a node port to another cluster", func(t *testing.T) { tb.testNodePort(t, all) })
	t.Run("each cluster has Datacenter objects of all clusters", tb.testInventory)
	t.Run("an exported service is reachable by name", func(t *testing.T) { tb.testServices(t, all) })
	t.Run("a service of two clusters fails over", func(t *testing.T) { tb.testFailover(t, all) })
	t.Run("traffic continues while an API server is stopped", func(t *testing.T) { tb.testStoppedAPIServer(t, all) })
	t.Run("a rolling update loses no request", func(t *testing.T) { tb.testRollingUpdate(t, all) })
	t.Run("an unreachable cluster is removed by another one and joins again", func(t *testing.T) { tb.testRemoval(t, all) })
	t.Run("leaving removes Meshway's objects", tb.testLeave)
	t.Run("helm uninstall leaves nothing", tb.testUninstall)
}

// testTraffic sends requests from all clients of each cluster to all targets of
// the other clusters.
func (tb *testbed) testTraffic(t *testing.T, all map[*cluster.Cluster]workloads) {
	for _, from := range tb.clusters {
		for _, to := range tb.clusters {
			if from == to {
				continue
			}
			for _, c := range all[from].clients {
				t.Run(c.name+" to "+to.Name(), func(t *testing.T) {
					tb.awaitFor(t, timeout/3, "all targets answer", func(ctx context.Context) error { return c.checkTargets(ctx, all[to].targets) })
				})
			}
		}
	}
}

// checkTargets returns an error unless each target answers a request that is
// larger than a packet, and receives it with one of the client's addresses.
func (c client) checkTargets(ctx context.Context, list []target) error {
	var script strings.Builder
	for _, to := range list {
		fmt.Fprintf(&script, "head -c 20000 /dev/zero | curl -sS --max-time 3 --data-binary @- '%s' 2>&1 | tr '\\n' ' '; echo\n", to.url)
	}
	out, err := c.exec(ctx, script.String())
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	var errs []error
	for i, to := range list {
		if i >= len(lines) {
			return fmt.Errorf("there are only %d answers: %s", len(lines), out)
		}
		if err := c.checkAnswer(to, lines[i]); err != nil {
			errs = append(errs, fmt.Errorf("%s at %s: %w", to.name, to.url, err))
		}
	}
	return errors.Join(errs...)
}

func (c client) checkAnswer(to target, line string) error {
	var answer echoAnswer
	if err := json.Unmarshal([]byte(line), &answer); err != nil {
		return fmt.Errorf("%w: %q", err, line)
	}
	if !slices.Contains(to.pods, answer.Pod) {
		return fmt.Errorf("%s answered", answer.Pod)
	}
	source, err := netip.ParseAddr(answer.Source)
	if err != nil || source.Is6() != to.v6 || !slices.ContainsFunc(c.sources, func(own netip.Prefix) bool { return own.Contains(source) }) {
		return fmt.Errorf("the source was %s, not one of %s", answer.Source, c.sources)
	}
	return nil
}

// checkServers sends several requests with the arguments of curl and returns an
// error unless exactly the pods in want answer, in alphabetical order. The name
// "none" stands for a request that fails.
func (c client) checkServers(ctx context.Context, arguments string, want ...string) error {
	out, err := c.exec(ctx, "for i in 1 2 3 4 5 6 7 8 9 10; do curl -s --max-time 3 "+arguments+" || echo '{\"pod\":\"none\"}'; done")
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
		return fmt.Errorf("%s receives answers of %s, not of %s", c.name, pods, want)
	}
	return nil
}

// startRequests sends requests at intervals of 50 ms plus their duration. The
// returned function stops them and returns the output of those that failed.
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
		// A request that is lost has a line of the script's own. kubectl writes to
		// the same output, for instance about a ping after the end of the command.
		return slices.DeleteFunc(lines, func(line string) bool { return line == "sent" || logOfKubectl.MatchString(line) })
	}
}

// logOfKubectl matches a line of kubectl's log, in the format of klog.
var logOfKubectl = regexp.MustCompile(`^[DIWEF]\d{4} \d\d:\d\d:\d\d\.`)

//go:build linux && root

package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshway/meshway/e2e/harness"
	"github.com/meshway/meshway/e2e/kubernetes/cluster"
	"github.com/meshway/meshway/e2e/kubernetes/images"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	cluster.Main()
	if len(os.Args) == 2 && os.Args[1] == victimArgument {
		os.Exit(runVictim())
	}
	os.Exit(m.Run())
}

func newLab(t *testing.T) *cluster.Lab {
	t.Helper()
	lab, err := cluster.NewLab(t.Context(), t.TempDir(), t.Output())
	require.NoError(t, err, "this test requires root")
	t.Cleanup(func() { assert.NoError(t, lab.Close()) })
	return lab
}

func newCluster(t *testing.T, lab *cluster.Lab, options cluster.Options) *cluster.Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c, err := lab.New(ctx, options)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.Logs(5))
		}
	})
	return c
}

// workloadManifest is an echo server on each node, and a service.
const workloadManifest = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: meshway.test/echo:1
        resources: {limits: {memory: 64Mi, cpu: 500m}}
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ipFamilyPolicy: PreferDualStack
  ports: [{port: 80, targetPort: 8080}]
`

// pod is one of the echo servers.
type pod struct {
	name, node string
	addresses  []netip.Addr
}

func deploy(t *testing.T, c *cluster.Cluster) []pod {
	t.Helper()
	require.NoError(t, c.Apply(t.Context(), workloadManifest))
	_, err := c.Kubectl(t.Context(), "rollout", "status", "daemonset/web", "--timeout=60s")
	require.NoError(t, err)
	text, err := c.Kubectl(t.Context(), "get", "pods", "-l", "app=web", "-o",
		`jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName}{range .status.podIPs[*]} {.ip}{end}{"\n"}{end}`)
	require.NoError(t, err)
	var pods []pod
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		p := pod{name: fields[0], node: fields[1]}
		for _, ip := range fields[2:] {
			p.addresses = append(p.addresses, netip.MustParseAddr(ip))
		}
		pods = append(pods, p)
	}
	return pods
}

// answer is the response of the echo server.
type answer struct {
	Pod, Host      string
	Source, Server netip.Addr
}

// request sends an HTTP request from a pod, with curl.
func request(t *testing.T, c *cluster.Cluster, from pod, url string) (answer, error) {
	t.Helper()
	text, err := c.Kubectl(t.Context(), "exec", from.name, "--", "curl", "-sS", "--max-time", "3", url)
	if err != nil {
		return answer{}, err
	}
	var a answer
	require.NoError(t, json.Unmarshal([]byte(text), &a), text)
	return a, nil
}

func url(addr netip.Addr, port uint16) string {
	return "http://" + netip.AddrPortFrom(addr, port).String()
}

func TestPodsReachPodsServicesAndNames(t *testing.T) {
	separate, masquerading, dual := cluster.Numbered(1), cluster.Numbered(2), cluster.Numbered(3).DualStack(3)
	separate.SeparateLinks = true
	masquerading.IPMasq, masquerading.ProxyMode = true, cluster.IPTables
	lab := newLab(t)
	for name, options := range map[string]cluster.Options{
		"defaults":                  cluster.Numbered(0),
		"nodes with separate links": separate,
		"iptables and masquerading": masquerading,
		"dual stack":                dual,
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, lab, options)
			defer func() { assert.NoError(t, c.Close()) }() // one at a time, to limit the memory
			pods := deploy(t, c)
			require.Len(t, pods, 2)
			for _, from := range pods {
				for _, to := range pods {
					checkPod(t, c, from, to)
				}
				checkService(t, c, from)
			}
		})
	}
}

func checkPod(t *testing.T, c *cluster.Cluster, from, to pod) {
	t.Helper()
	require.Len(t, to.addresses, len(c.Options().PodCIDRs))
	for i, addr := range to.addresses {
		a, err := request(t, c, from, url(addr, 8080))
		require.NoError(t, err, "%s on %s to %s on %s", from.name, from.node, to.name, to.node)
		assert.Equal(t, to.name, a.Pod)
		assert.Equal(t, addr, a.Server)
		if !c.Options().IPMasq {
			assert.Equal(t, from.addresses[i], a.Source, "a pod's address arrives unchanged")
		} else if from.node != to.node {
			assert.True(t, c.Options().Underlay[i].Contains(a.Source), "the source %s is not the node's address", a.Source)
		}
	}
}

func checkService(t *testing.T, c *cluster.Cluster, from pod) {
	t.Helper()
	text, err := c.Kubectl(t.Context(), "get", "service", "web", "-o", "jsonpath={.spec.clusterIPs[*]}")
	require.NoError(t, err)
	addresses := strings.Fields(text)
	require.Len(t, addresses, len(c.Options().ServiceCIDRs))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, ip := range addresses { // kube-proxy programs them with a delay
		require.NoError(t, harness.Wait(ctx, "the service answers at "+ip, func(context.Context) error {
			_, err := request(t, c, from, url(netip.MustParseAddr(ip), 80))
			return err
		}))
	}
	seen := make(map[string]bool)
	err = harness.Wait(ctx, "both pods answer to the service's name", func(context.Context) error {
		a, err := request(t, c, from, "http://web.default.svc.cluster.local")
		if err != nil {
			return err
		}
		if seen[a.Pod] = true; len(seen) < 2 {
			return fmt.Errorf("only %s answered", a.Pod)
		}
		return nil
	})
	require.NoError(t, err)
}

func TestClustersReachTheNodesButNotThePodsOfOtherClusters(t *testing.T) {
	lab := newLab(t)
	east, west := newCluster(t, lab, cluster.Numbered(0)), newCluster(t, lab, cluster.Numbered(1))
	pods := deploy(t, west)
	for _, node := range west.Nodes() {
		_, err := east.Nodes()[1].Exec(t.Context(), "ping", "-c1", "-W2", node.Addresses[0].String())
		require.NoError(t, err)
	}
	for _, p := range pods {
		_, err := east.Nodes()[0].Exec(t.Context(), "ping", "-c1", "-W1", p.addresses[0].String())
		assert.Error(t, err, "the underlay must not route to pods; only Meshway does")
	}
	contexts, err := lab.Exec(t.Context(), "kubectl", "config", "get-contexts", "-o", "name")
	require.NoError(t, err)
	assert.Equal(t, []string{"east", "west"}, strings.Fields(contexts))
}

// gatewayManifest is a pod that changes its node's network without being
// privileged, as the agent's pod does.
const gatewayManifest = `
apiVersion: v1
kind: Pod
metadata: {name: gateway}
spec:
  hostNetwork: true
  restartPolicy: Never
  securityContext: {seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: gateway
    image: meshway.test/gateway:1
    command: [sh, -ec, "/ip tuntap add dev meshway0 mode tun; nft add table inet meshway; nft list tables; echo 1 > /run/meshway/state"]
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL], add: [NET_ADMIN]}
    volumeMounts:
    - {name: tun, mountPath: /dev/net/tun}
    - {name: state, mountPath: /run/meshway}
  volumes:
  - {name: tun, hostPath: {path: /dev/net/tun, type: CharDevice}}
  - {name: state, hostPath: {path: /var/lib/meshway, type: DirectoryOrCreate}}
`

func TestPodWithNetAdminChangesTheNetworkOfItsNode(t *testing.T) {
	lab := newLab(t)
	options := cluster.Numbered(0)
	options.Nodes = 1
	c := newCluster(t, lab, options)
	image := images.Image{Name: "meshway.test/gateway:1"}
	for _, name := range []string{"nft", "ip"} {
		files, err := images.Program(t.Context(), name)
		require.NoError(t, err)
		image.Files = append(image.Files, files...)
		// The shell of busybox prefers its own commands to those in the path.
		image.Files = append(image.Files, images.File{Path: "/" + name, Link: files[0].Path})
	}
	busybox, err := images.Busybox(t.Context())
	require.NoError(t, err)
	image.Files = append(busybox, image.Files...)
	archive := filepath.Join(t.TempDir(), "gateway.tar")
	require.NoError(t, images.WriteFile(archive, image))
	require.NoError(t, c.LoadImage(t.Context(), archive))

	require.NoError(t, c.Apply(t.Context(), gatewayManifest))
	_, err = c.Kubectl(t.Context(), "wait", "pod/gateway", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")
	text, _ := c.Kubectl(t.Context(), "logs", "gateway")
	require.NoError(t, err, text)
	assert.Contains(t, text, "table inet meshway")
	node := c.Nodes()[0]
	tables, err := node.Exec(t.Context(), "nft", "list", "tables")
	require.NoError(t, err)
	assert.Contains(t, tables, "table inet meshway")
	_, err = node.Host().ReadFile("/var/lib/meshway/state")
	require.NoError(t, err)
}

// conformanceManifest has the pods and the service of the conformance suite.
const conformanceManifest = `
apiVersion: v1
kind: Pod
metadata: {name: hello, labels: {app: hello}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: tcp
    image: alpine/socat:1.7.4.4
    args: [-v, -v, "TCP-LISTEN:42,crlf,reuseaddr,fork", "SYSTEM:echo pod ip $(MY_POD_IP)"]
    env: [{name: MY_POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
---
apiVersion: v1
kind: Service
metadata: {name: hello}
spec:
  selector: {app: hello}
  ports: [{name: tcp, port: 42}]
---
apiVersion: v1
kind: Pod
metadata: {name: request}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: request
    image: nicolaka/netshoot:v0.15
    args: [/bin/sh, -ec, "while :; do echo '.'; sleep 5 ; done"]
`

func TestConformanceImagesSupportTheCommandsOfTheSuite(t *testing.T) {
	options := cluster.Numbered(0)
	options.Nodes = 1
	c := newCluster(t, newLab(t), options)
	list, err := images.Conformance(t.Context())
	require.NoError(t, err)
	archive := filepath.Join(t.TempDir(), "conformance.tar")
	require.NoError(t, images.WriteFile(archive, list...))
	require.NoError(t, c.LoadImage(t.Context(), archive))
	require.NoError(t, c.Apply(t.Context(), conformanceManifest))
	_, err = c.Kubectl(t.Context(), "wait", "pods", "--all", "--for=condition=Ready", "--timeout=30s")
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	const name = "hello.default.svc.cluster.local"
	for command, want := range map[string]string{
		"echo hi | nc -v -w 2 -4 " + name + " 42 2>&1": "pod ip 10.11.0.",
		"dig +short " + name:                           "10.111.",
		"nslookup -type=A " + name + ".":               "Address: 10.111.",
		"nslookup -type=SRV _tcp._tcp." + name + ".":   "service = 0 100 42 hello.default.svc.cluster.local.",
	} {
		// The suite retries too: socat fails if the server's echo exits before it reads.
		err := harness.Wait(ctx, command+" answers", func(ctx context.Context) error {
			text, err := c.Kubectl(ctx, "exec", "request", "--", "sh", "-c", command)
			if err == nil && !strings.Contains(text, want) {
				err = fmt.Errorf("%q does not contain %q", text, want)
			}
			return err
		})
		require.NoError(t, err)
	}
}

func TestPodsAreReachableWhileTheAPIServerIsStopped(t *testing.T) {
	c := newCluster(t, newLab(t), cluster.Numbered(0))
	pods := deploy(t, c)
	first := c.Nodes()[0]
	require.NoError(t, first.Stop("kube-apiserver"))
	for _, p := range pods {
		_, err := first.Exec(t.Context(), "curl", "-sS", "--max-time", "3", url(p.addresses[0], 8080))
		require.NoError(t, err)
	}
	require.NoError(t, first.Start("kube-apiserver"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, c.AwaitAPI(ctx))
}

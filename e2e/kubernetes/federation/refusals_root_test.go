//go:build linux && root

package federation_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshway/meshway/agent/kube/kubetest"
	"github.com/meshway/meshway/e2e/kubernetes/chart"
	"github.com/meshway/meshway/e2e/kubernetes/cluster"
	"github.com/meshway/meshway/e2e/kubernetes/install"
)

// TestMistakesAreReportedAndDoNotAffectOtherServices makes mistakes in the
// installation of the second cluster and then in services. After each mistake,
// another service must still be reachable.
func TestMistakesAreReportedAndDoNotAffectOtherServices(t *testing.T) {
	tb := newClusters(t, 2, func(_ int, o *cluster.Options) { o.Nodes = 1 })
	east, west := tb.clusters[0], tb.clusters[1]
	require.NoError(t, tb.InstallChart(within(t, timeout), east))
	require.NoError(t, tb.InstallChart(within(t, timeout), west, "--skip-crds", "--set", "datacenter.name=east"))
	require.NoError(t, tb.AwaitAgent(within(t, timeout), east))
	tb.exec(t, tb.meshctl, "init", "--context", east.Name())
	require.NoError(t, tb.AwaitAgent(within(t, timeout), west))

	t.Run("a namespace that refuses pods with the network of the host", func(t *testing.T) { tb.testPodSecurity(t, west) })
	t.Run("an invalid CIDR", func(t *testing.T) { tb.testInvalidCIDR(t, west) })
	t.Run("a name that is in use", func(t *testing.T) {
		tb.requireRefused(t, `a datacenter "east" joined`, "choose another name")
	})
	t.Run("prefixes that overlap", func(t *testing.T) {
		tb.upgrade(t, west, "--set", "discovery.podCIDRs={10.11.0.0/17}")
		tb.requireRefused(t, `10.11.0.0/17 overlaps prefix 10.11.0.0/`, `datacenter "east"`, "change the prefixes")
	})
	tb.upgrade(t, west)
	tb.exec(t, tb.meshctl, "join", "--context", west.Name(), "--via", east.Name())

	all := map[*cluster.Cluster]workloads{east: tb.startWorkloads(t, east), west: tb.startWorkloads(t, west)}
	require.NoError(t, east.Apply(within(t, timeout), fmt.Sprintf(exportedServiceManifest, "good")))
	t.Run("missing and then old CRDs", func(t *testing.T) { tb.testCRDs(t, west) })
	good := "http://" + tb.importedAddress(t, west, "good") + "/"
	for _, mistake := range []struct {
		name string
		test func(*testing.T)
	}{
		{"an export without a Service", tb.testNoService},
		{"an export of an ExternalName", tb.testExternalName},
		{"conflicting ports", tb.testConflict},
		{"a missing namespace", tb.testNamespace},
		{"missing permissions", tb.testPermissions},
		{"an API server that does not answer", func(t *testing.T) { tb.testHangingAPIServer(t, all[west].clients[1], good) }},
		{"an API server that is slow and fails", func(t *testing.T) { tb.testFaultyAPIServer(t, all[west].clients[1], good) }},
	} {
		t.Run(mistake.name, func(t *testing.T) {
			mistake.test(t)
			tb.await(t, "the other service is reachable", func(ctx context.Context) error {
				return all[west].clients[0].checkServers(ctx, good, "echo-0")
			})
		})
	}
}

// testPodSecurity installs nothing: Helm renders the chart with access to the
// cluster only.
func (tb *testbed) testPodSecurity(t *testing.T, c *cluster.Cluster) {
	arguments, err := install.ChartArguments(within(t, timeout), c)
	require.NoError(t, err)
	dryRun := slices.Concat([]string{"helm", "install"}, arguments, []string{"--namespace", "enforced", "--skip-crds", "--dry-run=server"})
	for _, level := range []string{"baseline", "restricted"} {
		require.NoError(t, c.Apply(within(t, timeout), fmt.Sprintf(enforcedNamespaceManifest, level)))
		message := tb.requireFailure(t, dryRun...)
		assert.Contains(t, message, "namespace enforced enforces the pod security level "+level)
		assert.Contains(t, message, "kubectl label namespace enforced --overwrite pod-security.kubernetes.io/enforce=privileged")
	}
	tb.exec(t, "kubectl", "--context", c.Name(), "label", "namespace", "enforced", "--overwrite", "pod-security.kubernetes.io/enforce=privileged")
	assert.NotContains(t, tb.requireFailure(t, dryRun...), "pod security", "only the names of the other release conflict")
}

const enforcedNamespaceManifest = `
apiVersion: v1
kind: Namespace
metadata:
  name: enforced
  labels: {pod-security.kubernetes.io/enforce: %s}
`

// requireFailure runs a command that must fail and returns its error.
func (tb *testbed) requireFailure(t *testing.T, argv ...string) string {
	t.Helper()
	_, err := tb.lab.Exec(within(t, timeout), argv...)
	require.Error(t, err, "%s", argv)
	return err.Error()
}

// upgrade upgrades the chart of a cluster with the usual values and extra
// arguments.
func (tb *testbed) upgrade(t *testing.T, c *cluster.Cluster, extra ...string) {
	t.Helper()
	arguments, err := install.ChartArguments(within(t, timeout), c)
	require.NoError(t, err)
	tb.exec(t, slices.Concat([]string{"helm", "upgrade"}, arguments, []string{"--skip-crds"}, extra)...)
	require.NoError(t, tb.AwaitRollout(within(t, 2*timeout), c))
}

func (tb *testbed) testInvalidCIDR(t *testing.T, c *cluster.Cluster) {
	configuration := func() string {
		return tb.exec(t, "kubectl", "--context", c.Name(), "-n", namespace, "get", "configmap", "meshway", "-o", "jsonpath={.data}")
	}
	before := configuration()
	arguments, err := install.ChartArguments(within(t, timeout), c)
	require.NoError(t, err)
	message := tb.requireFailure(t, slices.Concat([]string{"helm", "upgrade"}, arguments, []string{"--set", "discovery.podCIDRs={10.300.0.0/16}"})...)
	assert.Contains(t, message, `discovery.podCIDRs: "10.300.0.0/16" is not a CIDR; write address/length`)
	assert.Equal(t, before, configuration(), "the configuration is unchanged")
}

// requireRefused asserts that the join of the second cluster is refused with an
// error that contains the given texts, and that both clusters are unchanged.
func (tb *testbed) requireRefused(t *testing.T, want ...string) {
	t.Helper()
	east, west := tb.clusters[0], tb.clusters[1]
	message := tb.requireFailure(t, tb.meshctl, "join", "--context", west.Name(), "--via", east.Name())
	for _, text := range want {
		assert.Contains(t, message, text)
	}
	assert.Contains(t, message, "exit status 4", "the documented status of a refusal")
	assert.Contains(t, tb.exec(t, tb.meshctl, "members", "--context", west.Name()), "no members")
	out, err := west.Nodes()[0].Exec(within(t, timeout), "sh", "-c", showRoutes+"; ip -o link show | grep mesh || true; nft list tables | grep meshway || true")
	require.NoError(t, err)
	assert.Empty(t, strings.TrimSpace(out), "the node of the refused cluster has no routes, interfaces or tables")
	assert.Equal(t, "datacenter.meshway.io/east", strings.TrimSpace(tb.exec(t, "kubectl", "--context", east.Name(), "get", "datacenters", "-o", "name")))
}

// testCRDs installs the CRDs of the first release of the API on a cluster without
// CRDs, which is sufficient for services, and then those of the chart.
func (tb *testbed) testCRDs(t *testing.T, c *cluster.Cluster) {
	tb.awaitStatus(t, c, "does not serve multicluster.x-k8s.io/v1beta1 nor v1alpha1")
	require.NoError(t, c.Apply(within(t, timeout), kubetest.Manifest(t, kubetest.Oldest)))
	address := tb.importedAddress(t, c, "good")
	tb.awaitOwner(t, c, "good", "multicluster.x-k8s.io/v1alpha1")
	tb.awaitNoStatus(t, c, "CRDs of the Multi-Cluster Services API")
	require.NoError(t, c.Apply(within(t, timeout), strings.Join(tb.crds(t), "\n---\n")))
	tb.awaitOwner(t, c, "good", "multicluster.x-k8s.io/v1beta1")
	assert.Equal(t, address, tb.importedAddress(t, c, "good"), "the clusterset IP is unchanged")
	tb.awaitNoStatus(t, c, "CRDs")
	for _, of := range tb.clusters {
		tb.await(t, "the Datacenter object "+of.Name()+" is ready", func(ctx context.Context) error {
			_, err := c.Kubectl(ctx, "wait", "datacenter/"+of.Name(), "--for=condition=Ready", "--timeout=5s")
			return err
		})
	}
}

// awaitOwner waits until the owner of the derived Service is a ServiceImport of
// the given API version.
func (tb *testbed) awaitOwner(t *testing.T, c *cluster.Cluster, service, version string) {
	t.Helper()
	tb.await(t, service+" is imported as "+version, func(ctx context.Context) error {
		out, err := c.Kubectl(ctx, "get", "services", "-l", "multicluster.kubernetes.io/service-name="+service,
			"-o", "jsonpath={.items[*].metadata.ownerReferences[*].apiVersion}")
		if err == nil && strings.TrimSpace(out) != version {
			err = fmt.Errorf("the version is %q", out)
		}
		return err
	})
}

func (tb *testbed) crds(t *testing.T) []string {
	t.Helper()
	root, err := chart.Root(t.Context())
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(root, "deploy/chart/meshway/crds/*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var texts []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		texts = append(texts, string(text))
	}
	return texts
}

// awaitStatus waits until the output of meshctl status contains text.
func (tb *testbed) awaitStatus(t *testing.T, c *cluster.Cluster, text string) {
	t.Helper()
	tb.awaitFor(t, timeout/2, "meshctl status of "+c.Name()+" contains "+text, func(ctx context.Context) error {
		if out := tb.status(ctx, c); !strings.Contains(out, text) {
			return errors.New(out)
		}
		return nil
	})
}

// awaitNoStatus waits until meshctl status reports a member and its output does
// not contain text.
func (tb *testbed) awaitNoStatus(t *testing.T, c *cluster.Cluster, text string) {
	t.Helper()
	tb.awaitFor(t, timeout/2, "meshctl status of "+c.Name()+" does not contain "+text, func(ctx context.Context) error {
		if out := tb.status(ctx, c); !strings.Contains(out, "member of federation") || strings.Contains(out, text) {
			return errors.New(out)
		}
		return nil
	})
}

// status returns the output and the error of meshctl status, which fails if it
// reports a problem of severity error.
func (tb *testbed) status(ctx context.Context, c *cluster.Cluster) string {
	out, err := tb.lab.Exec(ctx, tb.meshctl, "status", "-o", "wide", "--context", c.Name())
	return fmt.Sprintln(out, err)
}

// awaitCondition waits until a condition of an export has a reason.
func (tb *testbed) awaitCondition(t *testing.T, c *cluster.Cluster, export, condition, reason string) {
	t.Helper()
	path := fmt.Sprintf("jsonpath={.status.conditions[?(@.type==%q)].reason}", condition)
	tb.awaitFor(t, timeout/2, "the condition "+condition+" of export "+export+" has the reason "+reason, func(ctx context.Context) error {
		out, err := c.Kubectl(ctx, "get", "serviceexport", export, "-o", path)
		if err == nil && strings.TrimSpace(out) != reason {
			err = fmt.Errorf("the reason is %q", out)
		}
		return err
	})
}

// awaitEvent waits for an Event of an export that contains text.
func (tb *testbed) awaitEvent(t *testing.T, c *cluster.Cluster, export, text string) {
	t.Helper()
	tb.awaitFor(t, timeout/2, "there is an Event of export "+export, func(ctx context.Context) error {
		out, err := c.Kubectl(ctx, "events", "--for", "serviceexport/"+export)
		if err == nil && !strings.Contains(out, text) {
			err = errors.New(out)
		}
		return err
	})
}

const exportManifest = `
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: %s}
`

func (tb *testbed) testNoService(t *testing.T) {
	east, west := tb.clusters[0], tb.clusters[1]
	require.NoError(t, east.Apply(within(t, timeout), fmt.Sprintf(exportManifest, "absent")))
	tb.awaitCondition(t, east, "absent", "Valid", "NoService")
	tb.awaitEvent(t, east, "absent", "NoService")
	require.NoError(t, east.Apply(within(t, timeout), fmt.Sprintf(exportedServiceManifest, "absent")))
	tb.awaitCondition(t, east, "absent", "Valid", "Valid")
	tb.importedAddress(t, west, "absent")
}

func (tb *testbed) testExternalName(t *testing.T) {
	east := tb.clusters[0]
	const service = "---\n{apiVersion: v1, kind: Service, metadata: {name: outside}, spec: {type: ExternalName, externalName: example.com}}\n"
	require.NoError(t, east.Apply(within(t, timeout), fmt.Sprintf(exportManifest, "outside")+service))
	tb.awaitCondition(t, east, "outside", "Valid", "InvalidServiceType")
	tb.awaitEvent(t, east, "outside", "InvalidServiceType")
}

// testConflict exports the same port name with two numbers. The older export has
// precedence.
func (tb *testbed) testConflict(t *testing.T) {
	east, west := tb.clusters[0], tb.clusters[1]
	require.NoError(t, east.Apply(within(t, timeout), fmt.Sprintf(exportedServiceManifest, "clash")))
	tb.awaitCondition(t, east, "clash", "Ready", "Exported")
	require.NoError(t, west.Apply(within(t, timeout), strings.Replace(fmt.Sprintf(exportedServiceManifest, "clash"), "port: 80,", "port: 81,", 1)))
	for _, c := range []*cluster.Cluster{east, west} {
		tb.awaitCondition(t, c, "clash", "Conflict", "PortConflict")
		tb.awaitEvent(t, c, "clash", "Conflict")
	}
	tb.exec(t, "kubectl", "--context", west.Name(), "delete", "serviceexport/clash")
	tb.awaitCondition(t, east, "clash", "Conflict", "NoConflicts")
}

func (tb *testbed) testNamespace(t *testing.T) {
	east, west := tb.clusters[0], tb.clusters[1]
	tb.exec(t, "kubectl", "--context", east.Name(), "create", "namespace", "elsewhere")
	tb.exec(t, "kubectl", "--context", east.Name(), "-n", "elsewhere", "create", "service", "clusterip", "web", "--tcp=80")
	require.NoError(t, east.Apply(within(t, timeout), strings.Replace(fmt.Sprintf(exportManifest, "web"), "{name: web}", "{name: web, namespace: elsewhere}", 1)))
	tb.await(t, "the service is exported", func(ctx context.Context) error {
		_, err := east.Kubectl(ctx, "-n", "elsewhere", "wait", "serviceexport/web", "--for=condition=Ready", "--timeout=5s")
		return err
	})
	tb.awaitStatus(t, west, "namespace elsewhere")
	tb.exec(t, "kubectl", "--context", west.Name(), "create", "namespace", "elsewhere")
	tb.await(t, "the service is imported", func(ctx context.Context) error {
		_, err := west.Kubectl(ctx, "-n", "elsewhere", "get", "serviceimport", "web")
		return err
	})
	tb.awaitNoStatus(t, west, "namespace elsewhere")
}

// testPermissions removes the rule for EndpointSlices from the role of gateways and
// restores it.
func (tb *testbed) testPermissions(t *testing.T) {
	east, west := tb.clusters[0], tb.clusters[1]
	roles := west.Client().RbacV1().ClusterRoles()
	setRules := func(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule { // nil: all but that for EndpointSlices
		role, err := roles.Get(within(t, timeout), "meshway-gateway", metav1.GetOptions{})
		require.NoError(t, err)
		before := role.Rules
		if rules == nil {
			rules = slices.DeleteFunc(slices.Clone(before), func(r rbacv1.PolicyRule) bool {
				return slices.Contains(r.Resources, "endpointslices") && len(r.ResourceNames) == 0 // not that for the API server
			})
			require.Len(t, rules, len(before)-1)
		}
		role.Rules = rules
		_, err = roles.Update(within(t, timeout), role, metav1.UpdateOptions{})
		require.NoError(t, err)
		return before
	}
	before := setRules(nil)
	require.NoError(t, east.Apply(within(t, timeout), fmt.Sprintf(exportedServiceManifest, "unpermitted")))
	tb.awaitStatus(t, west, `cannot create resource "endpointslices"`)
	setRules(before)
	tb.importedAddress(t, west, "unpermitted")
	tb.await(t, "the endpoints are imported", func(ctx context.Context) error {
		out, err := west.Kubectl(ctx, "get", "endpointslices", "-l", "multicluster.kubernetes.io/service-name=unpermitted", "-o", "jsonpath={.items[*].endpoints[*].addresses[0]}")
		if err == nil && strings.TrimSpace(out) == "" {
			err = errors.New("there is no endpoint")
		}
		return err
	})
	tb.awaitNoStatus(t, west, "cannot create resource")
}

// testHangingAPIServer suspends an API server, which keeps its connections but
// does not answer.
func (tb *testbed) testHangingAPIServer(t *testing.T, node client, good string) {
	east, west := tb.clusters[0], tb.clusters[1]
	first := west.Nodes()[0]
	server, err := first.Exec(within(t, timeout), "pgrep", "-x", "kube-apiserver")
	require.NoError(t, err)
	signal := func(name string) {
		_, err := first.Exec(within(t, timeout), "kill", name, strings.TrimSpace(server))
		require.NoError(t, err)
	}
	stop := tb.startRequests(t, node, good)
	signal("-STOP")
	defer signal("-CONT")
	require.NoError(t, east.Apply(within(t, timeout), fmt.Sprintf(exportedServiceManifest, "meanwhile")))
	hung, cancel := context.WithTimeout(t.Context(), 10*time.Second) // longer than the duration of a Lease
	defer cancel()
	<-hung.Done()
	assert.Empty(t, stop(), "traffic continues")
	signal("-CONT")
	tb.importedAddress(t, west, "meanwhile")
}

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

// TestWhatIsWrongIsNamedAndHarmsNothingElse is an operator who gets everything
// wrong once: first the installation of the second cluster, then services. One
// service that is right is used all the time.
func TestWhatIsWrongIsNamedAndHarmsNothingElse(t *testing.T) {
	tb := newClusters(t, 2, func(_ int, o *cluster.Options) { o.Nodes = 1 })
	east, west := tb.clusters[0], tb.clusters[1]
	require.NoError(t, tb.InstallChart(within(t, timeout), east))
	require.NoError(t, tb.InstallChart(within(t, timeout), west, "--skip-crds", "--set", "datacenter.name=east"))
	require.NoError(t, tb.AwaitAgent(within(t, timeout), east))
	tb.exec(t, tb.meshctl, "init", "--context", east.Name())
	require.NoError(t, tb.AwaitAgent(within(t, timeout), west))

	t.Run("a wrong CIDR", func(t *testing.T) { tb.testWrongCIDR(t, west) })
	t.Run("a name that is taken", func(t *testing.T) {
		tb.requireRefused(t, `a datacenter "east" joined`, "choose another name")
	})
	t.Run("prefixes that overlap", func(t *testing.T) {
		tb.upgrade(t, west, "--set", "discovery.podCIDRs={10.11.0.0/17}")
		tb.requireRefused(t, `10.11.0.0/17 overlaps 10.11.0.0/`, `datacenter "east"`, "change the prefixes")
	})
	tb.upgrade(t, west)
	tb.exec(t, tb.meshctl, "join", "--context", west.Name(), "--via", east.Name())

	sites := map[*cluster.Cluster]workloads{east: tb.startWorkloads(t, east), west: tb.startWorkloads(t, west)}
	require.NoError(t, east.Apply(within(t, timeout), fmt.Sprintf(exportedServiceManifest, "good")))
	t.Run("CRDs that are missing, and then old ones", func(t *testing.T) { tb.testCRDs(t, west) })
	good := "http://" + tb.importedAddress(t, west, "good") + "/"
	for _, wrong := range []struct {
		name string
		test func(*testing.T)
	}{
		{"an export without a Service", tb.testNoService},
		{"an export of an ExternalName", tb.testExternalName},
		{"ports that conflict", tb.testConflict},
		{"a namespace that is missing", tb.testNamespace},
		{"permissions that are withheld", tb.testPermissions},
		{"an API server that does not answer", func(t *testing.T) { tb.testHangingAPIServer(t, sites[west].clients[1], good) }},
		{"an API server that is slow and fails", func(t *testing.T) { tb.testFaultyAPIServer(t, sites[west].clients[1], good) }},
	} {
		t.Run(wrong.name, func(t *testing.T) {
			wrong.test(t)
			tb.await(t, "the other service is used", func(ctx context.Context) error {
				return sites[west].clients[0].checkServers(ctx, good, "echo-0")
			})
		})
	}
}

// requireFailure runs a command that has to fail, and returns what it said.
func (tb *testbed) requireFailure(t *testing.T, argv ...string) string {
	t.Helper()
	_, err := tb.lab.Exec(within(t, timeout), argv...)
	require.Error(t, err, "%s", argv)
	return err.Error()
}

// upgrade gives the chart of a cluster its usual values and these.
func (tb *testbed) upgrade(t *testing.T, c *cluster.Cluster, further ...string) {
	t.Helper()
	arguments, err := install.ChartArguments(within(t, timeout), c)
	require.NoError(t, err)
	tb.exec(t, slices.Concat([]string{"helm", "upgrade"}, arguments, []string{"--skip-crds"}, further)...)
	tb.exec(t, "kubectl", "--context", c.Name(), "-n", namespace, "rollout", "status", "daemonset/meshway", "--timeout=90s")
}

func (tb *testbed) testWrongCIDR(t *testing.T, c *cluster.Cluster) {
	configuration := func() string {
		return tb.exec(t, "kubectl", "--context", c.Name(), "-n", namespace, "get", "configmap", "meshway", "-o", "jsonpath={.data}")
	}
	before := configuration()
	arguments, err := install.ChartArguments(within(t, timeout), c)
	require.NoError(t, err)
	said := tb.requireFailure(t, slices.Concat([]string{"helm", "upgrade"}, arguments, []string{"--set", "discovery.podCIDRs={10.300.0.0/16}"})...)
	assert.Contains(t, said, `discovery.podCIDRs: "10.300.0.0/16" has 300 in place of a number up to 255`)
	assert.Equal(t, before, configuration(), "nothing changed")
}

// requireRefused holds that the second cluster's join is refused with one clear
// error, and that nothing has changed in either.
func (tb *testbed) requireRefused(t *testing.T, because ...string) {
	t.Helper()
	east, west := tb.clusters[0], tb.clusters[1]
	said := tb.requireFailure(t, tb.meshctl, "join", "--context", west.Name(), "--via", east.Name())
	for _, part := range because {
		assert.Contains(t, said, part)
	}
	assert.Contains(t, said, "exit status 4", "refused, as the README says")
	assert.Contains(t, tb.exec(t, tb.meshctl, "members", "--context", west.Name()), "no members")
	out, err := west.Nodes()[0].Exec(within(t, timeout), "sh", "-c", showRoutes+"; ip -o link show | grep mesh || true; nft list tables | grep meshway || true")
	require.NoError(t, err)
	assert.Empty(t, strings.TrimSpace(out), "the refused cluster has nothing on its node")
	assert.Equal(t, "datacenter.meshway.io/east", strings.TrimSpace(tb.exec(t, "kubectl", "--context", east.Name(), "get", "datacenters", "-o", "name")))
}

// testCRDs gives a cluster without CRDs those of the first release of the API,
// which is enough for services, and then the chart's.
func (tb *testbed) testCRDs(t *testing.T, c *cluster.Cluster) {
	tb.awaitStatus(t, c, "does not serve multicluster.x-k8s.io/v1beta1 nor v1alpha1")
	require.NoError(t, c.Apply(within(t, timeout), kubetest.Manifest(t, kubetest.Oldest)))
	address := tb.importedAddress(t, c, "good")
	tb.awaitOwner(t, c, "good", "multicluster.x-k8s.io/v1alpha1")
	tb.awaitNoStatus(t, c, "CRDs of the Multi-Cluster Services API")
	require.NoError(t, c.Apply(within(t, timeout), strings.Join(tb.crds(t), "\n---\n")))
	tb.awaitOwner(t, c, "good", "multicluster.x-k8s.io/v1beta1")
	assert.Equal(t, address, tb.importedAddress(t, c, "good"), "it stays")
	tb.awaitNoStatus(t, c, "CRDs")
	for _, of := range tb.clusters {
		tb.await(t, of.Name()+" is seen", func(ctx context.Context) error {
			_, err := c.Kubectl(ctx, "wait", "datacenter/"+of.Name(), "--for=condition=Ready", "--timeout=5s")
			return err
		})
	}
}

// awaitOwner waits until the derived Service belongs to a ServiceImport of a version.
func (tb *testbed) awaitOwner(t *testing.T, c *cluster.Cluster, service, version string) {
	t.Helper()
	tb.await(t, service+" is imported as "+version, func(ctx context.Context) error {
		out, err := c.Kubectl(ctx, "get", "services", "-l", "multicluster.kubernetes.io/service-name="+service,
			"-o", "jsonpath={.items[*].metadata.ownerReferences[*].apiVersion}")
		if err == nil && strings.TrimSpace(out) != version {
			err = fmt.Errorf("as %q", out)
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

// awaitStatus waits until meshctl status tells of text.
func (tb *testbed) awaitStatus(t *testing.T, c *cluster.Cluster, text string) {
	t.Helper()
	tb.awaitFor(t, timeout/2, "meshctl status of "+c.Name()+" tells "+text, func(ctx context.Context) error {
		if out := tb.status(ctx, c); !strings.Contains(out, text) {
			return errors.New(out)
		}
		return nil
	})
}

// awaitNoStatus waits until meshctl status does not tell of text any more.
func (tb *testbed) awaitNoStatus(t *testing.T, c *cluster.Cluster, text string) {
	t.Helper()
	tb.awaitFor(t, timeout/2, "meshctl status of "+c.Name()+" is silent about "+text, func(ctx context.Context) error {
		if out := tb.status(ctx, c); !strings.Contains(out, "member of federation") || strings.Contains(out, text) {
			return errors.New(out)
		}
		return nil
	})
}

// status is what meshctl status says; it fails when there is an error among it.
func (tb *testbed) status(ctx context.Context, c *cluster.Cluster) string {
	out, err := tb.lab.Exec(ctx, tb.meshctl, "status", "--context", c.Name())
	return fmt.Sprintln(out, err)
}

// awaitCondition waits until a condition of an export has a reason.
func (tb *testbed) awaitCondition(t *testing.T, c *cluster.Cluster, export, condition, reason string) {
	t.Helper()
	path := fmt.Sprintf("jsonpath={.status.conditions[?(@.type==%q)].reason}", condition)
	tb.awaitFor(t, timeout/2, export+" is "+reason, func(ctx context.Context) error {
		out, err := c.Kubectl(ctx, "get", "serviceexport", export, "-o", path)
		if err == nil && strings.TrimSpace(out) != reason {
			err = fmt.Errorf("%s: %q", condition, out)
		}
		return err
	})
}

// awaitEvent waits for an Event about an export.
func (tb *testbed) awaitEvent(t *testing.T, c *cluster.Cluster, export, text string) {
	t.Helper()
	tb.awaitFor(t, timeout/2, "an Event about "+export, func(ctx context.Context) error {
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

// testConflict exports the same port name with two numbers; the older export wins.
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
	tb.await(t, "it is exported", func(ctx context.Context) error {
		_, err := east.Kubectl(ctx, "-n", "elsewhere", "wait", "serviceexport/web", "--for=condition=Ready", "--timeout=5s")
		return err
	})
	tb.awaitStatus(t, west, "namespace elsewhere")
	tb.exec(t, "kubectl", "--context", west.Name(), "create", "namespace", "elsewhere")
	tb.await(t, "it is imported", func(ctx context.Context) error {
		_, err := west.Kubectl(ctx, "-n", "elsewhere", "get", "serviceimport", "web")
		return err
	})
	tb.awaitNoStatus(t, west, "namespace elsewhere")
}

// testPermissions takes away the rule for EndpointSlices for some time.
func (tb *testbed) testPermissions(t *testing.T) {
	east, west := tb.clusters[0], tb.clusters[1]
	roles := west.Client().RbacV1().ClusterRoles()
	set := func(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
		role, err := roles.Get(within(t, timeout), "meshway", metav1.GetOptions{})
		require.NoError(t, err)
		before := role.Rules
		if rules == nil {
			rules = slices.DeleteFunc(slices.Clone(before), func(r rbacv1.PolicyRule) bool { return slices.Contains(r.Resources, "endpointslices") })
			require.Len(t, rules, len(before)-1)
		}
		role.Rules = rules
		_, err = roles.Update(within(t, timeout), role, metav1.UpdateOptions{})
		require.NoError(t, err)
		return before
	}
	before := set(nil)
	require.NoError(t, east.Apply(within(t, timeout), fmt.Sprintf(exportedServiceManifest, "unpermitted")))
	tb.awaitStatus(t, west, `cannot create resource "endpointslices"`)
	set(before)
	tb.importedAddress(t, west, "unpermitted")
	tb.await(t, "its endpoints are imported", func(ctx context.Context) error {
		out, err := west.Kubectl(ctx, "get", "endpointslices", "-l", "multicluster.kubernetes.io/service-name=unpermitted", "-o", "jsonpath={.items[*].endpoints[*].addresses[0]}")
		if err == nil && strings.TrimSpace(out) == "" {
			err = errors.New("none")
		}
		return err
	})
	tb.awaitNoStatus(t, west, "cannot create resource")
}

// testHangingAPIServer stops an API server in the middle of everything: its
// connections stay, and nothing is answered.
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
	hung, cancel := context.WithTimeout(t.Context(), 10*time.Second) // longer than a Lease
	defer cancel()
	<-hung.Done()
	assert.Empty(t, stop(), "traffic goes on")
	signal("-CONT")
	tb.importedAddress(t, west, "meanwhile")
}

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
	w := newClusters(t, 2, func(_ int, o *cluster.Options) { o.Nodes = 1 })
	east, west := w.clusters[0], w.clusters[1]
	require.NoError(t, w.InstallChart(within(t, patience), east))
	require.NoError(t, w.InstallChart(within(t, patience), west, "--skip-crds", "--set", "datacenter.name=east"))
	require.NoError(t, w.AwaitAgent(within(t, patience), east))
	w.run(t, w.meshctl, "init", "--context", east.Name())
	require.NoError(t, w.AwaitAgent(within(t, patience), west))

	t.Run("a wrong CIDR", func(t *testing.T) { w.testWrongCIDR(t, west) })
	t.Run("a name that is taken", func(t *testing.T) {
		w.requireRefused(t, `a datacenter "east" joined`, "choose another name")
	})
	t.Run("prefixes that overlap", func(t *testing.T) {
		w.upgrade(t, west, "--set", "discovery.podCIDRs={10.11.0.0/17}")
		w.requireRefused(t, `10.11.0.0/17 overlaps 10.11.0.0/`, `datacenter "east"`, "change the prefixes")
	})
	w.upgrade(t, west)
	w.run(t, w.meshctl, "join", "--context", west.Name(), "--via", east.Name())

	sites := map[*cluster.Cluster]site{east: w.serve(t, east), west: w.serve(t, west)}
	require.NoError(t, east.Apply(within(t, patience), fmt.Sprintf(exportOf, "good")))
	t.Run("CRDs that are missing, and then old ones", func(t *testing.T) { w.testCRDs(t, west) })
	good := "http://" + w.importedAddress(t, west, "good") + "/"
	for _, wrong := range []struct {
		name string
		test func(*testing.T)
	}{
		{"an export without a Service", w.testNoService},
		{"an export of an ExternalName", w.testExternalName},
		{"ports that conflict", w.testConflict},
		{"a namespace that is missing", w.testNamespace},
		{"permissions that are withheld", w.testPermissions},
		{"an API server that does not answer", func(t *testing.T) { w.testHangingAPIServer(t, sites[west].places[1], good) }},
		{"an API server that is slow and fails", func(t *testing.T) { w.testIllAPIServer(t, sites[west].places[1], good) }},
	} {
		t.Run(wrong.name, func(t *testing.T) {
			wrong.test(t)
			w.await(t, "the other service is used", func(ctx context.Context) error {
				return sites[west].places[0].served(ctx, good, "echo-0")
			})
		})
	}
}

// fails runs a command that has to fail, and returns what it said.
func (w *world) fails(t *testing.T, argv ...string) string {
	t.Helper()
	_, err := w.lab.Exec(within(t, patience), argv...)
	require.Error(t, err, "%s", argv)
	return err.Error()
}

// upgrade gives the chart of a cluster its usual values and these.
func (w *world) upgrade(t *testing.T, c *cluster.Cluster, further ...string) {
	t.Helper()
	arguments, err := install.ChartArguments(within(t, patience), c)
	require.NoError(t, err)
	w.run(t, slices.Concat([]string{"helm", "upgrade"}, arguments, []string{"--skip-crds"}, further)...)
	w.run(t, "kubectl", "--context", c.Name(), "-n", namespace, "rollout", "status", "daemonset/meshway", "--timeout=90s")
}

func (w *world) testWrongCIDR(t *testing.T, c *cluster.Cluster) {
	configuration := func() string {
		return w.run(t, "kubectl", "--context", c.Name(), "-n", namespace, "get", "configmap", "meshway", "-o", "jsonpath={.data}")
	}
	before := configuration()
	arguments, err := install.ChartArguments(within(t, patience), c)
	require.NoError(t, err)
	said := w.fails(t, slices.Concat([]string{"helm", "upgrade"}, arguments, []string{"--set", "discovery.podCIDRs={10.300.0.0/16}"})...)
	assert.Contains(t, said, `discovery.podCIDRs: "10.300.0.0/16" has 300 in place of a number up to 255`)
	assert.Equal(t, before, configuration(), "nothing changed")
}

// requireRefused holds that the second cluster's join is refused with one clear
// error, and that nothing has changed in either.
func (w *world) requireRefused(t *testing.T, because ...string) {
	t.Helper()
	east, west := w.clusters[0], w.clusters[1]
	said := w.fails(t, w.meshctl, "join", "--context", west.Name(), "--via", east.Name())
	for _, part := range because {
		assert.Contains(t, said, part)
	}
	assert.Contains(t, said, "exit status 4", "refused, as the README says")
	assert.Contains(t, w.run(t, w.meshctl, "members", "--context", west.Name()), "no members")
	out, err := west.Nodes()[0].Exec(within(t, patience), "sh", "-c", showRoutes+"; ip -o link show | grep mesh || true; nft list tables | grep meshway || true")
	require.NoError(t, err)
	assert.Empty(t, strings.TrimSpace(out), "the refused cluster has nothing on its node")
	assert.Equal(t, "datacenter.meshway.io/east", strings.TrimSpace(w.run(t, "kubectl", "--context", east.Name(), "get", "datacenters", "-o", "name")))
}

// testCRDs gives a cluster without CRDs those of the first release of the API,
// which is enough for services, and then the chart's.
func (w *world) testCRDs(t *testing.T, c *cluster.Cluster) {
	w.awaitStatus(t, c, "does not serve multicluster.x-k8s.io/v1beta1 nor v1alpha1")
	require.NoError(t, c.Apply(within(t, patience), kubetest.Manifest(t, kubetest.Oldest)))
	address := w.importedAddress(t, c, "good")
	w.awaitOwner(t, c, "good", "multicluster.x-k8s.io/v1alpha1")
	w.awaitSilence(t, c, "CRDs of the Multi-Cluster Services API")
	require.NoError(t, c.Apply(within(t, patience), strings.Join(w.crds(t), "\n---\n")))
	w.awaitOwner(t, c, "good", "multicluster.x-k8s.io/v1beta1")
	assert.Equal(t, address, w.importedAddress(t, c, "good"), "it stays")
	w.awaitSilence(t, c, "CRDs")
	for _, of := range w.clusters {
		w.await(t, of.Name()+" is seen", func(ctx context.Context) error {
			_, err := c.Kubectl(ctx, "wait", "datacenter/"+of.Name(), "--for=condition=Ready", "--timeout=5s")
			return err
		})
	}
}

// awaitOwner waits until the derived Service belongs to a ServiceImport of a version.
func (w *world) awaitOwner(t *testing.T, c *cluster.Cluster, service, version string) {
	t.Helper()
	w.await(t, service+" is imported as "+version, func(ctx context.Context) error {
		out, err := c.Kubectl(ctx, "get", "services", "-l", "multicluster.kubernetes.io/service-name="+service,
			"-o", "jsonpath={.items[*].metadata.ownerReferences[*].apiVersion}")
		if err == nil && strings.TrimSpace(out) != version {
			err = fmt.Errorf("as %q", out)
		}
		return err
	})
}

func (w *world) crds(t *testing.T) []string {
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
func (w *world) awaitStatus(t *testing.T, c *cluster.Cluster, text string) {
	t.Helper()
	w.awaitFor(t, patience/2, "meshctl status of "+c.Name()+" tells "+text, func(ctx context.Context) error {
		if out := w.status(ctx, c); !strings.Contains(out, text) {
			return errors.New(out)
		}
		return nil
	})
}

// awaitSilence waits until meshctl status does not tell of text any more.
func (w *world) awaitSilence(t *testing.T, c *cluster.Cluster, text string) {
	t.Helper()
	w.awaitFor(t, patience/2, "meshctl status of "+c.Name()+" is silent about "+text, func(ctx context.Context) error {
		if out := w.status(ctx, c); !strings.Contains(out, "member of federation") || strings.Contains(out, text) {
			return errors.New(out)
		}
		return nil
	})
}

// status is what meshctl status says; it fails when there is an error among it.
func (w *world) status(ctx context.Context, c *cluster.Cluster) string {
	out, err := w.lab.Exec(ctx, w.meshctl, "status", "--context", c.Name())
	return fmt.Sprintln(out, err)
}

// awaitCondition waits until a condition of an export has a reason.
func (w *world) awaitCondition(t *testing.T, c *cluster.Cluster, export, condition, reason string) {
	t.Helper()
	path := fmt.Sprintf("jsonpath={.status.conditions[?(@.type==%q)].reason}", condition)
	w.awaitFor(t, patience/2, export+" is "+reason, func(ctx context.Context) error {
		out, err := c.Kubectl(ctx, "get", "serviceexport", export, "-o", path)
		if err == nil && strings.TrimSpace(out) != reason {
			err = fmt.Errorf("%s: %q", condition, out)
		}
		return err
	})
}

// awaitEvent waits for an Event about an export.
func (w *world) awaitEvent(t *testing.T, c *cluster.Cluster, export, text string) {
	t.Helper()
	w.awaitFor(t, patience/2, "an Event about "+export, func(ctx context.Context) error {
		out, err := c.Kubectl(ctx, "events", "--for", "serviceexport/"+export)
		if err == nil && !strings.Contains(out, text) {
			err = errors.New(out)
		}
		return err
	})
}

const exportAlone = `
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: %s}
`

func (w *world) testNoService(t *testing.T) {
	east, west := w.clusters[0], w.clusters[1]
	require.NoError(t, east.Apply(within(t, patience), fmt.Sprintf(exportAlone, "absent")))
	w.awaitCondition(t, east, "absent", "Valid", "NoService")
	w.awaitEvent(t, east, "absent", "NoService")
	require.NoError(t, east.Apply(within(t, patience), fmt.Sprintf(exportOf, "absent")))
	w.awaitCondition(t, east, "absent", "Valid", "Valid")
	w.importedAddress(t, west, "absent")
}

func (w *world) testExternalName(t *testing.T) {
	east := w.clusters[0]
	const service = "---\n{apiVersion: v1, kind: Service, metadata: {name: outside}, spec: {type: ExternalName, externalName: example.com}}\n"
	require.NoError(t, east.Apply(within(t, patience), fmt.Sprintf(exportAlone, "outside")+service))
	w.awaitCondition(t, east, "outside", "Valid", "InvalidServiceType")
	w.awaitEvent(t, east, "outside", "InvalidServiceType")
}

// testConflict exports the same port name with two numbers; the older export wins.
func (w *world) testConflict(t *testing.T) {
	east, west := w.clusters[0], w.clusters[1]
	require.NoError(t, east.Apply(within(t, patience), fmt.Sprintf(exportOf, "clash")))
	w.awaitCondition(t, east, "clash", "Ready", "Exported")
	require.NoError(t, west.Apply(within(t, patience), strings.Replace(fmt.Sprintf(exportOf, "clash"), "port: 80,", "port: 81,", 1)))
	for _, c := range []*cluster.Cluster{east, west} {
		w.awaitCondition(t, c, "clash", "Conflict", "PortConflict")
		w.awaitEvent(t, c, "clash", "Conflict")
	}
	w.run(t, "kubectl", "--context", west.Name(), "delete", "serviceexport/clash")
	w.awaitCondition(t, east, "clash", "Conflict", "NoConflicts")
}

func (w *world) testNamespace(t *testing.T) {
	east, west := w.clusters[0], w.clusters[1]
	w.run(t, "kubectl", "--context", east.Name(), "create", "namespace", "elsewhere")
	w.run(t, "kubectl", "--context", east.Name(), "-n", "elsewhere", "create", "service", "clusterip", "web", "--tcp=80")
	require.NoError(t, east.Apply(within(t, patience), strings.Replace(fmt.Sprintf(exportAlone, "web"), "{name: web}", "{name: web, namespace: elsewhere}", 1)))
	w.await(t, "it is exported", func(ctx context.Context) error {
		_, err := east.Kubectl(ctx, "-n", "elsewhere", "wait", "serviceexport/web", "--for=condition=Ready", "--timeout=5s")
		return err
	})
	w.awaitStatus(t, west, "namespace elsewhere")
	w.run(t, "kubectl", "--context", west.Name(), "create", "namespace", "elsewhere")
	w.await(t, "it is imported", func(ctx context.Context) error {
		_, err := west.Kubectl(ctx, "-n", "elsewhere", "get", "serviceimport", "web")
		return err
	})
	w.awaitSilence(t, west, "namespace elsewhere")
}

// testPermissions takes away the rule for EndpointSlices for some time.
func (w *world) testPermissions(t *testing.T) {
	east, west := w.clusters[0], w.clusters[1]
	roles := west.Client().RbacV1().ClusterRoles()
	set := func(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
		role, err := roles.Get(within(t, patience), "meshway", metav1.GetOptions{})
		require.NoError(t, err)
		before := role.Rules
		if rules == nil {
			rules = slices.DeleteFunc(slices.Clone(before), func(r rbacv1.PolicyRule) bool { return slices.Contains(r.Resources, "endpointslices") })
			require.Len(t, rules, len(before)-1)
		}
		role.Rules = rules
		_, err = roles.Update(within(t, patience), role, metav1.UpdateOptions{})
		require.NoError(t, err)
		return before
	}
	before := set(nil)
	require.NoError(t, east.Apply(within(t, patience), fmt.Sprintf(exportOf, "unpermitted")))
	w.awaitStatus(t, west, `cannot create resource "endpointslices"`)
	set(before)
	w.importedAddress(t, west, "unpermitted")
	w.await(t, "its endpoints are imported", func(ctx context.Context) error {
		out, err := west.Kubectl(ctx, "get", "endpointslices", "-l", "multicluster.kubernetes.io/service-name=unpermitted", "-o", "jsonpath={.items[*].endpoints[*].addresses[0]}")
		if err == nil && strings.TrimSpace(out) == "" {
			err = errors.New("none")
		}
		return err
	})
	w.awaitSilence(t, west, "cannot create resource")
}

// testHangingAPIServer stops an API server in the middle of everything: its
// connections stay, and nothing is answered.
func (w *world) testHangingAPIServer(t *testing.T, node place, good string) {
	east, west := w.clusters[0], w.clusters[1]
	first := west.Nodes()[0]
	server, err := first.Exec(within(t, patience), "pgrep", "-x", "kube-apiserver")
	require.NoError(t, err)
	signal := func(name string) {
		_, err := first.Exec(within(t, patience), "kill", name, strings.TrimSpace(server))
		require.NoError(t, err)
	}
	stop := w.load(t, node, good)
	signal("-STOP")
	defer signal("-CONT")
	require.NoError(t, east.Apply(within(t, patience), fmt.Sprintf(exportOf, "meanwhile")))
	hung, cancel := context.WithTimeout(t.Context(), 10*time.Second) // longer than a Lease
	defer cancel()
	<-hung.Done()
	assert.Empty(t, stop(), "traffic goes on")
	signal("-CONT")
	w.importedAddress(t, west, "meanwhile")
}

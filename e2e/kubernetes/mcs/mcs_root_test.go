//go:build linux && root

package mcs_test

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/kube/kubetest"
	promises "github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/kube/mcs/controller"
	"github.com/meshway/meshway/agent/kube/mcs/mcstest"
	"github.com/meshway/meshway/agent/kube/property/propertytest"
	"github.com/meshway/meshway/agent/kube/siblingstest"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/e2e/kubernetes/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestMain(m *testing.M) {
	cluster.Main()
	os.Exit(m.Run())
}

// TestControllersOnARealAPIServer uses one cluster for all subtests, which have
// their own namespaces.
func TestControllersOnARealAPIServer(t *testing.T) {
	lab, err := cluster.NewLab(t.Context(), t.TempDir(), t.Output())
	require.NoError(t, err, "this test requires root")
	t.Cleanup(func() { assert.NoError(t, lab.Close()) })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	options := cluster.Numbered(0).DualStack(0)
	options.Nodes = 1
	c, err := lab.New(ctx, options)
	require.NoError(t, err)
	require.NoError(t, c.Apply(t.Context(), kubetest.Manifest(t, kubetest.Oldest)))
	clients, err := kube.ClientsOf(c.REST())
	require.NoError(t, err)
	old := kubetest.Cluster{Clients: clients, Release: kubetest.Oldest}
	t.Run("controllers with the CRDs of the first release", func(t *testing.T) {
		mcstest.Run(t, old)
	})
	upgraded := old
	upgraded.Release = kubetest.Newest
	t.Run("an upgrade of the CRDs", func(t *testing.T) {
		mcstest.RunUpgrade(t, old, func() kubetest.Cluster { applyCRDs(t, c); return upgraded })
	})
	t.Run("controllers with the CRDs of the chart", func(t *testing.T) {
		mcstest.Run(t, upgraded)
	})
	t.Run("cluster properties", func(t *testing.T) { propertytest.Run(t, upgraded) })
	t.Run("siblings", func(t *testing.T) { siblingstest.Run(t, upgraded) })
	t.Run("CoreDNS resolves the names of imports", func(t *testing.T) { testCoreDNS(t, lab, c, upgraded) })
}

func applyCRDs(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	crds, err := filepath.Glob("../../../deploy/chart/meshway/crds/*k8s.io.yaml")
	require.NoError(t, err)
	require.Len(t, crds, 3)
	for _, path := range crds {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, c.Apply(t.Context(), string(text)))
	}
}

// testCoreDNS enables the zone with meshctl and resolves the names of services that
// west exports or registers.
func testCoreDNS(t *testing.T, lab *cluster.Lab, c *cluster.Cluster, clients kubetest.Cluster) {
	meshctl := filepath.Join(t.TempDir(), "meshctl")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", meshctl, "./cmd/meshctl")
	build.Dir = "../../.."
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	for _, want := range []string{"+         multicluster clusterset.local", "no change needed"} {
		out, err := exec.CommandContext(t.Context(), lab.EnterScript(), meshctl, "dns", "enable", "--context", c.Name()).CombinedOutput()
		require.NoError(t, err, string(out))
		require.Contains(t, string(out), want)
	}
	_, err = c.Kubectl(t.Context(), "-n", "kube-system", "rollout", "restart", "deployment", "coredns") // faster than CoreDNS's reload
	require.NoError(t, err)

	imports := importFromWest(t, clients)
	service := c.Options().ServiceCIDRs[0].Addr().As4()
	service[3] = 10
	server := "@" + netip.AddrFrom4(service).String()
	resolve := func(question ...string) string {
		answer, _ := c.Nodes()[0].Exec(t.Context(), append([]string{"dig", "+short", "+time=1", "+tries=1", server}, question...)...)
		lines := strings.Fields(answer)
		slices.Sort(lines)
		return strings.Join(lines, " ")
	}
	for question, want := range map[string]string{
		"web.default.svc.clusterset.local":          imports.address(t, "web"),
		"site.default.svc.clusterset.local":         imports.address(t, "site"),
		"db.default.svc.clusterset.local":           "10.2.0.1 10.2.0.2",
		"db-0.west.db.default.svc.clusterset.local": "10.2.0.1",
		"west.db.default.svc.clusterset.local":      "",
		"none.default.svc.clusterset.local":         "",
		"kubernetes.default.svc.cluster.local":      c.Options().ServiceCIDRs[0].Addr().Next().String(),
	} {
		assert.EventuallyWithT(t, func(t *assert.CollectT) { assert.Equal(t, want, resolve(question), question) },
			90*time.Second, 200*time.Millisecond)
	}
	assert.Contains(t, resolve("SRV", "_http._tcp.web.default.svc.clusterset.local"), "web.default.svc.clusterset.local.")
}

// imports are the ServiceImports that a controller creates for exports of west.
type imports struct{ cluster kubetest.Cluster }

// importFromWest runs a controller with a catalog that has two exports and a registered
// service of west.
func importFromWest(t *testing.T, clients kubetest.Cluster) imports {
	t.Helper()
	federation := mcstest.NewCatalog(t, "east", "west")
	for name, kind := range map[string]catalog.ExportType{"web": catalog.ClusterSetIP, "db": catalog.Headless} {
		e := catalog.Export{
			ExportKey: catalog.ExportKey{Datacenter: "west", Namespace: "default", Name: name}, Type: kind,
			Ports:           []catalog.ExportPort{{Name: "http", Protocol: "tcp", Number: 80}},
			SessionAffinity: catalog.NoSessionAffinity, Affinity: catalog.AffinityNone,
			IPFamilies: []catalog.IPFamily{catalog.IPv4}, CreatedAt: time.Now(),
		}
		federation.At("west").Put(t, e, catalog.EndpointSlice{
			EndpointSliceKey: catalog.EndpointSliceKey{ExportKey: e.ExportKey, Slice: name}, Ports: e.Ports,
			Endpoints: []catalog.Endpoint{
				{Address: netip.MustParseAddr("10.2.0.1"), Ready: true, Hostname: name + "-0"},
				{Address: netip.MustParseAddr("10.2.0.2"), Ready: true, Hostname: name + "-1"},
				{Address: netip.MustParseAddr("10.2.0.3"), Hostname: name + "-2"},
			},
		})
	}
	federation.At("west").Register(t, "default", "site", "10.2.0.4")
	require.NoError(t, clients.AnnotateNamespace(t.Context(), "default", promises.ImportAnnotation, "west"))
	run, err := controller.New(controller.Config{
		Datacenter: "east", Identity: "gw0", Namespace: "default", Catalog: federation,
		Outage: func() promises.Outage { return promises.Outage{} }, Kubernetes: clients.Kubernetes, MCS: clients.MCS,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { assert.NoError(t, run.Run(ctx)) })
	t.Cleanup(func() { cancel(); group.Wait() })
	return imports{clients}
}

// address waits for the clusterset IP of a service and returns it.
func (i imports) address(t *testing.T, name string) (address string) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		found, err := i.cluster.MCS.MulticlusterV1beta1().ServiceImports("default").Get(t.Context(), name, metav1.GetOptions{})
		if assert.NoError(c, err) && assert.NotEmpty(c, found.Spec.IPs) {
			address = found.Spec.IPs[0]
		}
	}, 20*time.Second, 50*time.Millisecond)
	return address
}

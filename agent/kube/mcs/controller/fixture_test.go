package controller_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/record"

	"github.com/meshway/meshway/agent/kube/kubetest"
	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/kube/mcs/controller"
	"github.com/meshway/meshway/agent/kube/mcs/mcstest"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// fixture is a fake cluster, datacenter east, with one controller, and the problems and
// Events that it reports.
type fixture struct {
	cluster kubetest.Cluster
	catalog *mcstest.Catalog
	events  *record.FakeRecorder

	mu      sync.Mutex // guards all following fields
	reports []string   // the text of each report, newest last
}

// newFixture runs a controller until the test ends. It must be called in a bubble.
func newFixture(t *testing.T, prepare func(kubetest.Cluster)) *fixture {
	t.Helper()
	f := &fixture{cluster: kubetest.NewFake(t, kubetest.Newest), catalog: mcstest.NewCatalog(t, "east", "west"), events: record.NewFakeRecorder(100)}
	f.cluster.CreateNamespace(t, "shop")
	prepare(f.cluster)
	c, err := controller.New(controller.Config{
		Datacenter: "east",
		Identity:   "gw0",
		Namespace:  "shop",
		Catalog:    f.catalog,
		Outage:     func() mcs.Outage { return mcs.Outage{} },
		Kubernetes: f.cluster.Kubernetes,
		MCS:        f.cluster.MCS,
		Events:     f.events,
		Report:     f.report,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { assert.NoError(t, c.Run(ctx)) })
	t.Cleanup(func() {
		cancel()
		group.Wait()
		assert.Empty(t, f.problems(), "a controller that has ended has no problems")
	})
	return f
}

// advance advances the time of a bubble, and waits until all goroutines are blocked.
func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (f *fixture) report(problems []plan.Problem) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lines []string
	for _, p := range problems {
		lines = append(lines, fmt.Sprintf("%s %s %s: %s; %s", p.Severity, p.Code, p.Subject, p.Message, p.Remedy))
	}
	f.reports = append(f.reports, strings.Join(lines, "\n"))
}

// problems returns one line for each problem of the newest report.
func (f *fixture) problems() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.reports) == 0 {
		return ""
	}
	return f.reports[len(f.reports)-1]
}

// reportCount returns the number of reports.
func (f *fixture) reportCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.reports)
}

// holder returns the holder of the Lease, empty if there is none.
func (f *fixture) holder(t *testing.T) string {
	t.Helper()
	return f.cluster.LeaseHolder(t, "shop", controller.LeaseName)
}

// export writes an export of west with one endpoint into the catalog.
func (f *fixture) export(t *testing.T, namespace, name string, edit ...func(*catalog.Export)) catalog.ExportKey {
	t.Helper()
	e := catalog.Export{
		ExportKey: catalog.ExportKey{Datacenter: "west", Namespace: namespace, Name: name},
		Type:      catalog.ClusterSetIP, SessionAffinity: catalog.NoSessionAffinity, Affinity: catalog.AffinityNone,
		Ports:      []catalog.ExportPort{{Name: "http", Protocol: "tcp", Number: 80}},
		IPFamilies: []catalog.IPFamily{catalog.IPv4}, CreatedAt: time.Now(),
	}
	for _, change := range edit {
		change(&e)
	}
	f.catalog.At("west").Put(t, e, catalog.EndpointSlice{
		EndpointSliceKey: catalog.EndpointSliceKey{ExportKey: e.ExportKey, Slice: name}, Ports: e.Ports,
		Endpoints: []catalog.Endpoint{{Address: netip.MustParseAddr("10.2.0.1"), Ready: true}},
	})
	return e.ExportKey
}

package mcstest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/agent/kube/kubetest"
	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/consensus/catalog"
)

// importRegistered sets from where the namespace of the test imports registered services.
func (f *fixture) importRegistered(from string) {
	f.t.Helper()
	require.NoError(f.t, f.cluster.AnnotateNamespace(f.t.Context(), f.ns, mcs.ImportAnnotation, from))
}

func testRegistered(t *testing.T, f *fixture) {
	west, north := f.catalog.At("west"), f.catalog.At("north")
	west.Register(t, f.ns, "web", "10.2.0.1")
	north.Register(t, f.ns, "web", "10.3.0.1")
	f.exportFrom("west", f.ns, "later", 0, nil, "10.2.0.9") // an observation that has it has the registrations
	f.eventually(f.imported(f.ns, "later"), "ClusterSetIP west | 10.2.0.9")
	assert.Equal(t, "none", f.imported(f.ns, "web")(), "the namespace does not request them")
	f.importRegistered("true")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP north west | 10.3.0.1 10.2.0.1")
	f.eventually(f.ports("web"), "http 80")
	i, err := f.cluster.Import(t.Context(), f.ns, "web")
	require.NoError(t, err)
	assert.NotEmpty(t, i.Spec.IPs)

	north.Deregister(t, f.ns, "web", "10.3.0.1")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP west | 10.2.0.1")
	west.Register(t, f.ns, "web", "10.2.0.2")
	f.catalog.Register(t, f.ns, "web", "10.1.0.1") // of the datacenter of the cluster
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east west | 10.1.0.1 10.2.0.1 10.2.0.2")
	f.setOutage(mcs.Outage{Withdrawn: []catalog.DatacenterName{"west"}})
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east west | 10.1.0.1")
	f.setOutage(mcs.Outage{})
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east west | 10.1.0.1 10.2.0.1 10.2.0.2")

	f.importRegistered("east, north")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east | 10.1.0.1")
	f.importRegistered("yes, please")
	f.eventually(f.imported(f.ns, "web"), "none")
	f.importRegistered("west")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP west | 10.2.0.1 10.2.0.2")
	f.importRegistered("false")
	f.eventually(f.imported(f.ns, "web"), "none")
	f.eventually(f.imported(f.ns, "later"), "ClusterSetIP west | 10.2.0.9")
}

// The clusterset IP stays when the service moves from a site into a cluster.
func testRegisteredAndExported(t *testing.T, f *fixture) {
	f.importRegistered("true")
	f.catalog.At("west").Register(t, f.ns, "web", "10.2.0.1")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP west | 10.2.0.1")
	before, err := f.cluster.Import(t.Context(), f.ns, "web")
	require.NoError(t, err)
	north := f.exportFrom("north", f.ns, "web", 0, nil, "10.3.0.1")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP north | 10.3.0.1")
	after, err := f.cluster.Import(t.Context(), f.ns, "web")
	require.NoError(t, err)
	assert.Equal(t, before.Spec.IPs, after.Spec.IPs)
	if f.cluster.Release == kubetest.Newest {
		ready := meta.FindStatusCondition(after.Status.Conditions, string(mcsv1.ServiceImportConditionReady))
		assert.Contains(t, ready.Message, "registered instance 10.2.0.1 of datacenter west is not used, since datacenter north exports the name")
	}
	f.catalog.At("north").Delete(t, north)
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP west | 10.2.0.1")
}

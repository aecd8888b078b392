package mcstest

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/kube/mcs/controller"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	older   = -time.Hour
	younger = time.Hour
)

// Run checks the promises of the controllers on one cluster, each in namespaces
// of its own.
func Run(t *testing.T, cluster Cluster) {
	for name, promise := range promises() {
		t.Run(name, func(t *testing.T) { promise(t, newBench(t, cluster)) })
	}
}

// RunFake checks the promises of the controllers on fake clusters, one for each
// promise. All of it runs in synctest bubbles, so waiting takes no real time.
func RunFake(t *testing.T, release Release) {
	for name, promise := range promises() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { promise(t, newBench(t, NewFake(t, release))) })
		})
	}
}

func promises() map[string]func(*testing.T, *bench) {
	return map[string]func(*testing.T, *bench){
		"ExportGoesToTheCatalogAndBack":          exportGoesToTheCatalogAndBack,
		"WhatCannotBeExportedIsTold":             whatCannotBeExportedIsTold,
		"ImportIsUsableAndGoesWithTheLastExport": importIsUsable,
		"HeadlessHasNoAddress":                   headlessHasNoAddress,
		"UnreadyEndpointsLeave":                  unreadyEndpointsLeave,
		"ConflictIsToldAndGoes":                  conflictIsToldAndGoes,
		"ImportWaitsForItsNamespace":             importWaitsForItsNamespace,
		"UnreachableDatacenterIsLeftOut":         unreachableDatacenterIsLeftOut,
		"MirrorLeadsToOneDatacenter":             mirrorLeadsToOneDatacenter,
		"HeadlessServiceIsMirrored":              headlessServiceIsMirrored,
		"NameOfAMirrorMayBeTaken":                nameOfAMirrorMayBeTaken,
		"MirrorIsAskedForByAnnotation":           mirrorIsAskedForByAnnotation,
		"RemovalTakesMirrors":                    removalTakesMirrors,
		"CutOffClusterUsesWhatItHas":             cutOffClusterUsesWhatItHas,
		"AffinityCountsAlsoInAnOutage":           affinityCountsInAnOutage,
		"WhatComesAndGoesAtOnceIsUndone":         whatComesAndGoesIsUndone,
		"ForeignHandsAreUndone":                  foreignHandsAreUndone,
		"ForeignServiceIsLeftAlone":              foreignServiceIsLeftAlone,
		"WithoutALeaderOwnEndpointsStillCome":    withoutALeader,
		"RefusedExportHoldsBackNoOther":          refusedExportHoldsBackNoOther,
		"AnotherGatewayTakesOver":                anotherGatewayTakesOver,
		"RemovalLeavesOnlyTheUsersObjects":       removalLeavesTheUsers,
		"BurstIsWritten":                         burstIsWritten,
		"ImportHasTheAddressesOfItsService":      importHasTheAddresses,
	}
}

func exportGoesToTheCatalogAndBack(_ *testing.T, b *bench) {
	b.service("web", nil, "10.1.0.1", "!10.1.0.2")
	b.export("web")
	b.eventually(b.published("web"), "ClusterSetIP | 10.1.0.1 !10.1.0.2")
	b.eventually(b.condition("web", mcsv1.ServiceExportConditionValid), "True Valid")
	b.eventually(b.condition("web", mcsv1.ServiceExportConditionReady), "True Exported")
	b.eventually(b.condition("web", mcsv1.ServiceExportConditionConflict), "False NoConflicts")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP east | 10.1.0.1")
	b.endpoints("web", "10.1.0.3", "192.0.2.1")
	b.eventually(b.published("web"), "ClusterSetIP | 10.1.0.3")
	b.unexport("web")
	b.eventually(b.published("web"), "none")
	b.eventually(b.imported(b.ns, "web"), "none")
}

func whatCannotBeExportedIsTold(t *testing.T, b *bench) {
	b.export("web")
	b.eventually(b.condition("web", mcsv1.ServiceExportConditionValid), "False NoService")
	b.export("out")
	b.service("out", func(s *corev1.Service) {
		s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.com"}
	})
	b.eventually(b.condition("out", mcsv1.ServiceExportConditionValid), "False InvalidServiceType")
	b.eventually(b.condition("out", mcsv1.ServiceExportConditionReady), "False Failed")
	assert.Equal(t, "none", b.published("out")())
	b.service("web", nil, "10.1.0.1") // after its export
	b.eventually(b.condition("web", mcsv1.ServiceExportConditionValid), "True Valid")
	b.eventually(b.published("web"), "ClusterSetIP | 10.1.0.1")
}

func importIsUsable(t *testing.T, b *bench) {
	west := b.at("west", b.ns, "web", 0, func(e *catalog.Export) {
		e.SessionAffinity, e.SessionAffinitySeconds = catalog.ClientIPAffinity, 10
		e.Labels = map[string]string{"tier": "front"}
	}, "10.2.0.1", "10.2.0.2")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP west | 10.2.0.1 10.2.0.2")
	i, err := b.cluster.Import(t.Context(), b.ns, "web")
	require.NoError(t, err)
	derived, err := b.cluster.Kubernetes.CoreV1().Services(b.ns).Get(t.Context(), i.Annotations[mcs.DerivedServiceAnnotation], metav1.GetOptions{})
	require.NoError(t, err)
	assert.NotEmpty(t, i.Spec.IPs)
	assert.Equal(t, derived.Spec.ClusterIPs, i.Spec.IPs)
	assert.Equal(t, corev1.ServiceAffinityClientIP, derived.Spec.SessionAffinity)
	assert.Equal(t, corev1.ServiceAffinityClientIP, i.Spec.SessionAffinity)
	assert.Equal(t, derived.Spec.SessionAffinityConfig, i.Spec.SessionAffinityConfig)
	assert.Equal(t, []mcsv1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80}}, i.Spec.Ports)
	assert.Equal(t, "front", i.Labels["tier"])
	slice := b.slices(b.ns, "web")[0]
	assert.Equal(t, derived.Name, slice.Labels[discoveryv1.LabelServiceName])
	assert.Equal(t, "west", slice.Labels[mcsv1.LabelSourceCluster])
	assert.Equal(t, i.UID, slice.OwnerReferences[0].UID)
	assert.Equal(t, i.UID, derived.OwnerReferences[0].UID)
	for _, owner := range []metav1.OwnerReference{slice.OwnerReferences[0], derived.OwnerReferences[0]} {
		assert.Equal(t, mcsv1.GroupName+"/"+b.cluster.Release.newest(), owner.APIVersion, "the garbage collector can look for it")
	}

	north := b.at("north", b.ns, "web", younger, func(e *catalog.Export) {
		e.Ports = append(e.Ports, catalog.ExportPort{Name: "dns", Protocol: "udp", Number: 53})
	}, "10.3.0.1")
	b.eventually(b.ports("web"), "http 80 dns 53")
	b.catalog.At("west").Delete(t, west)
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP north | 10.3.0.1")
	after, err := b.cluster.Import(t.Context(), b.ns, "web")
	require.NoError(t, err)
	assert.Equal(t, i.Spec.IPs, after.Spec.IPs, "the address is the same for the life of the import")
	b.catalog.At("north").Delete(t, north)
	b.eventually(b.imported(b.ns, "web"), "none")
	b.eventually(b.ports("web"), "none")
}

// ports gives those of the derived Service.
func (b *bench) ports(name string) func() string {
	return func() string {
		derived := mcs.DerivedName(catalog.ServiceName{Namespace: b.ns, Name: name})
		s, err := b.cluster.Kubernetes.CoreV1().Services(b.ns).Get(b.t.Context(), derived, metav1.GetOptions{})
		if err != nil {
			return "none"
		}
		var list []string
		for _, p := range s.Spec.Ports {
			list = append(list, fmt.Sprint(p.Name, " ", p.Port))
		}
		return strings.Join(list, " ")
	}
}

// The clusterset IPs are those of the derived Service, as many as the CRDs keep.
func importHasTheAddresses(t *testing.T, b *bench) {
	b.at("west", b.ns, "web", 0, func(e *catalog.Export) { e.IPFamilies = []catalog.IPFamily{catalog.IPv4, catalog.IPv6} }, "10.2.0.1")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP west | 10.2.0.1")
	derived, err := b.cluster.Kubernetes.CoreV1().Services(b.ns).Get(t.Context(), mcs.DerivedName(catalog.ServiceName{Namespace: b.ns, Name: "web"}), metav1.GetOptions{})
	require.NoError(t, err)
	require.Len(t, derived.Spec.ClusterIPs, 2, "of this test's cluster")
	addresses, families := fmt.Sprint(derived.Spec.ClusterIPs), fmt.Sprint(derived.Spec.IPFamilies)
	if b.cluster.Release == Oldest {
		addresses, families = fmt.Sprint(derived.Spec.ClusterIPs[:1]), "[]"
	}
	b.eventually(func() string {
		i, err := b.cluster.Import(t.Context(), b.ns, "web")
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(i.Spec.IPs) + fmt.Sprint(i.Spec.IPFamilies)
	}, addresses+families)
}

func headlessHasNoAddress(t *testing.T, b *bench) {
	west := b.at("west", b.ns, "db", 0, func(e *catalog.Export) { e.Type = catalog.Headless }, "10.2.0.1")
	b.eventually(b.imported(b.ns, "db"), "Headless west | 10.2.0.1")
	assert.Equal(t, "none", b.ports("db")())
	b.at("north", b.ns, "db", older, nil, "10.3.0.1") // the oldest decides
	b.eventually(b.imported(b.ns, "db"), "ClusterSetIP north west | 10.3.0.1 10.2.0.1")
	b.eventually(b.ports("db"), "http 80")
	b.catalog.At("north").Delete(t, catalog.ExportKey{Datacenter: "north", Namespace: b.ns, Name: "db"})
	b.eventually(b.imported(b.ns, "db"), "Headless west | 10.2.0.1")
	b.eventually(b.ports("db"), "none")
	i, err := b.cluster.Import(t.Context(), b.ns, "db")
	require.NoError(t, err)
	assert.Empty(t, i.Spec.IPs)
	b.catalog.At("west").Delete(t, west)
	b.eventually(b.imported(b.ns, "db"), "none")
}

func unreadyEndpointsLeave(_ *testing.T, b *bench) {
	b.service("web", nil, "10.1.0.1")
	b.export("web", func(e *mcsv1.ServiceExport) { e.Annotations = map[string]string{mcs.AffinityAnnotation: "local"} })
	b.at("west", b.ns, "web", younger, nil, "10.2.0.1", "10.2.0.2")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP east west | 10.1.0.1")
	b.endpoints("web", "!10.1.0.1")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP east west | 10.2.0.1 10.2.0.2")
	b.at("west", b.ns, "web", younger, nil, "!10.2.0.1", "10.2.0.2")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP east west | 10.2.0.2")
	b.endpoints("web", "10.1.0.1")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP east west | 10.1.0.1")
}

func conflictIsToldAndGoes(t *testing.T, b *bench) {
	b.service("web", nil, "10.1.0.1")
	b.export("web")
	west := b.at("west", b.ns, "web", older, func(e *catalog.Export) { e.Type, e.Ports[0].Number = catalog.Headless, 81 })
	b.eventually(b.condition("web", mcsv1.ServiceExportConditionConflict), "True PortConflict,TypeConflict")
	b.catalog.At("west").Delete(t, west)
	b.eventually(b.condition("web", mcsv1.ServiceExportConditionConflict), "False NoConflicts")
}

func importWaitsForItsNamespace(t *testing.T, b *bench) {
	later := b.ns + "-later"
	b.at("west", later, "web", 0, nil, "10.2.0.1")
	b.at("west", b.ns, "web", 0, nil, "10.2.0.2")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP west | 10.2.0.2")
	assert.Equal(t, "none", b.imported(later, "web")())
	b.namespace(later)
	b.eventually(b.imported(later, "web"), "ClusterSetIP west | 10.2.0.1")
}

func unreachableDatacenterIsLeftOut(_ *testing.T, b *bench) {
	b.at("west", b.ns, "web", 0, nil, "10.2.0.1")
	b.at("north", b.ns, "web", younger, nil, "10.3.0.1")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP north west | 10.3.0.1 10.2.0.1")
	b.fail(mcs.Outage{Withdrawn: []catalog.DatacenterName{"west"}})
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP north west | 10.3.0.1")
	b.fail(mcs.Outage{})
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP north west | 10.3.0.1 10.2.0.1")
}

// The other datacenter of two: its endpoints leave what can do without them.
func cutOffClusterUsesWhatItHas(_ *testing.T, b *bench) {
	b.service("web", nil, "10.1.0.1")
	b.export("web")
	b.at("west", b.ns, "web", younger, nil, "10.2.0.1")
	b.at("west", b.ns, "db", 0, nil, "10.2.0.2")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP east west | 10.1.0.1 10.2.0.1")
	b.eventually(b.imported(b.ns, "db"), "ClusterSetIP west | 10.2.0.2")
	b.fail(mcs.Outage{Doubtful: []catalog.DatacenterName{"west"}})
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP east west | 10.1.0.1")
	b.eventually(b.imported(b.ns, "db"), "ClusterSetIP west | 10.2.0.2")
	b.endpoints("web", "!10.1.0.1") // better a doubtful one than none
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP east west | 10.2.0.1")
	b.endpoints("web", "10.1.0.1")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP east west | 10.1.0.1")
	b.fail(mcs.Outage{})
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP east west | 10.1.0.1 10.2.0.1")
}

func affinityCountsInAnOutage(_ *testing.T, b *bench) {
	west := []catalog.DatacenterName{"west"}
	outages := map[string]mcs.Outage{"fine": {}, "withdrawn": {Withdrawn: west}, "cut off": {Doubtful: west}}
	const local, remote = "10.1.0.1", "10.2.0.1"
	want := map[string]map[string]string{ // by affinity and outage
		"local":  {"fine": local, "withdrawn": local, "cut off": local},
		"remote": {"fine": remote, "withdrawn": local, "cut off": local},
		"none":   {"fine": local + " " + remote, "withdrawn": local, "cut off": local},
	}
	for affinity := range want {
		b.service(affinity, nil, local)
		b.export(affinity, func(e *mcsv1.ServiceExport) { e.Annotations = map[string]string{mcs.AffinityAnnotation: affinity} })
		b.at("west", b.ns, affinity, younger, nil, remote)
	}
	for outage, o := range outages {
		b.fail(o)
		for affinity := range want {
			b.eventually(b.imported(b.ns, affinity), "ClusterSetIP east west | "+want[affinity][outage])
		}
	}
}

// A change here makes the controller work on the name while the export of north
// is new; to who looks at the catalog only now and then it was never there.
func whatComesAndGoesIsUndone(t *testing.T, b *bench) {
	b.at("west", b.ns, "web", 0, nil, "10.2.0.1")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP west | 10.2.0.1")
	for range 5 {
		slice := b.slices(b.ns, "web")[0]
		north := b.at("north", b.ns, "web", younger, nil, "10.3.0.1")
		err := b.cluster.Kubernetes.DiscoveryV1().EndpointSlices(b.ns).Delete(t.Context(), slice.Name, metav1.DeleteOptions{})
		require.NoError(t, err)
		b.eventually(b.imported(b.ns, "web"), "ClusterSetIP north west | 10.3.0.1 10.2.0.1")
		b.catalog.At("north").Delete(t, north)
		b.eventually(b.imported(b.ns, "web"), "ClusterSetIP west | 10.2.0.1")
	}
}

func foreignHandsAreUndone(t *testing.T, b *bench) {
	b.at("west", b.ns, "web", 0, nil, "10.2.0.1")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP west | 10.2.0.1")
	slice := b.slices(b.ns, "web")[0]
	slice.Endpoints[0].Addresses = []string{"10.2.0.99"}
	_, err := b.cluster.Kubernetes.DiscoveryV1().EndpointSlices(b.ns).Update(t.Context(), &slice, metav1.UpdateOptions{})
	require.NoError(t, err)
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP west | 10.2.0.1")
	require.NoError(t, b.cluster.Kubernetes.DiscoveryV1().EndpointSlices(b.ns).Delete(t.Context(), slice.Name, metav1.DeleteOptions{}))
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP west | 10.2.0.1")
	require.NoError(t, b.cluster.deleteImport(t.Context(), b.ns, "web"))
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP west | 10.2.0.1")
}

func foreignServiceIsLeftAlone(_ *testing.T, b *bench) {
	derived := mcs.DerivedName(catalog.ServiceName{Namespace: b.ns, Name: "web"})
	b.service(derived, func(s *corev1.Service) { s.Spec.Ports[0].Port = 4242 })
	west := b.at("west", b.ns, "web", 0, nil, "10.2.0.1")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP west"+b.unready()+" | 10.2.0.1")
	b.catalog.At("west").Delete(b.t, west)
	b.eventually(b.imported(b.ns, "web"), "none")
	b.eventually(b.ports("web"), "http 4242")
}

func withoutALeader(_ *testing.T, b *bench) {
	b.service("web", nil, "10.1.0.1")
	b.export("web")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP east | 10.1.0.1")
	b.eventually(b.published("web"), "ClusterSetIP | 10.1.0.1")
	b.catalog.SetLeader(false)
	b.endpoints("web", "10.1.0.2")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP east | 10.1.0.2")
	b.service("api", nil, "10.1.0.3")
	b.export("api")
	b.eventually(b.condition("api", mcsv1.ServiceExportConditionReady), "False Pending")
	b.catalog.SetLeader(true)
	b.eventually(b.published("web"), "ClusterSetIP | 10.1.0.2")
	b.eventually(b.published("api"), "ClusterSetIP | 10.1.0.3")
	b.eventually(b.condition("api", mcsv1.ServiceExportConditionReady), "True Exported")
}

func refusedExportHoldsBackNoOther(_ *testing.T, b *bench) {
	b.service("large", nil, "10.1.0.1")
	b.service("web", nil, "10.1.0.2")
	large, _ := b.cluster.Kubernetes.CoreV1().Services(b.ns).Get(b.t.Context(), "large", metav1.GetOptions{})
	for i := range 65 { // more than the catalog takes, in whatever release
		large.Spec.Ports = append(large.Spec.Ports, corev1.ServicePort{Name: fmt.Sprint("p", i), Protocol: corev1.ProtocolTCP, Port: int32(1000 + i)})
	}
	_, err := b.cluster.Kubernetes.CoreV1().Services(b.ns).Update(b.t.Context(), large, metav1.UpdateOptions{})
	require.NoError(b.t, err)
	b.export("large")
	b.export("web")
	b.eventually(b.condition("large", mcsv1.ServiceExportConditionReady), "False Failed")
	b.eventually(b.published("web"), "ClusterSetIP | 10.1.0.2")
	b.eventually(b.condition("web", mcsv1.ServiceExportConditionReady), "True Exported")
}

func anotherGatewayTakesOver(t *testing.T, b *bench) {
	other, _ := b.gateway("gw1")
	b.eventually(func() string { return fmt.Sprint(b.leader.Status().Leading) }, "true")
	assert.False(t, other.Status().Leading)
	b.end()
	b.eventually(func() string { return fmt.Sprint(other.Status().Leading) }, "true")
	b.at("west", b.ns, "web", 0, nil, "10.2.0.1")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP west | 10.2.0.1")
}

func removalLeavesTheUsers(t *testing.T, b *bench) {
	b.service("web", nil, "10.1.0.1")
	b.export("web")
	b.at("west", b.ns, "web", younger, nil, "10.2.0.1")
	b.eventually(b.imported(b.ns, "web"), "ClusterSetIP east west | 10.1.0.1 10.2.0.1")
	b.end()
	require.NoError(t, controller.Remove(t.Context(), b.cluster.Kubernetes, b.cluster.MCS))
	b.eventually(b.imported(b.ns, "web"), "none")
	assert.Equal(t, "none", b.ports("web")())
	_, err := b.cluster.Kubernetes.CoreV1().Services(b.ns).Get(t.Context(), "web", metav1.GetOptions{})
	require.NoError(t, err)
	_, err = b.cluster.Export(t.Context(), b.ns, "web")
	require.NoError(t, err)
	_, err = b.cluster.Kubernetes.DiscoveryV1().EndpointSlices(b.ns).Get(t.Context(), "web-1", metav1.GetOptions{})
	require.NoError(t, err)
}

func burstIsWritten(t *testing.T, b *bench) {
	const services, size = 50, 100
	begin := time.Now()
	for i := range services {
		var addresses []string
		for j := range size {
			addresses = append(addresses, fmt.Sprintf("10.2.%d.%d", i, j+1))
		}
		b.at("west", b.ns, fmt.Sprint("s", i), 0, nil, addresses...)
	}
	// How fast is for make bench-kubernetes to say; here nothing may be throttled or lost.
	b.within(time.Minute, func() string {
		list, err := b.cluster.Kubernetes.DiscoveryV1().EndpointSlices(b.ns).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		count := 0
		for _, s := range list.Items {
			count += len(s.Endpoints)
		}
		return fmt.Sprint(count)
	}, fmt.Sprint(services*size))
	t.Logf("%d endpoints in %s", services*size, time.Since(begin))
}

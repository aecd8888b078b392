package mcstest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/agent/kube/kubetest"
	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/kube/mcs/controller"
	"github.com/meshway/meshway/consensus/catalog"
)

// Offsets of the creation time of an export from now.
const (
	older   = -time.Hour
	younger = time.Hour
)

// Run runs the contract on one cluster. Each test has its own namespaces.
func Run(t *testing.T, cluster kubetest.Cluster) { contract().Run(t, cluster) }

// RunFake runs the contract on fake clusters with a release of the CRDs.
func RunFake(t *testing.T, release kubetest.Release) {
	contract().RunFake(t, kubetest.Fakes(t, release))
}

func contract() kubetest.Contract[*fixture] {
	return kubetest.Contract[*fixture]{Fixture: newFixture, Tests: map[string]func(*testing.T, *fixture){
		"ExportIsWrittenIntoTheCatalogAndDeleted":      testExport,
		"ServiceThatCannotBeExportedIsReported":        testInvalidExport,
		"ImportIsUsableUntilTheLastExportIsDeleted":    testImport,
		"HeadlessImportHasNoAddress":                   testHeadless,
		"UnreadyEndpointsAreRemoved":                   testUnreadyEndpoints,
		"TerminatingEndpointsAreUsedAsAReserve":        testTerminatingEndpoints,
		"EndpointSlicesOfAnyShapeAreExported":          testSliceShapes,
		"ServiceOf100PortsIsImported":                  testManyPorts,
		"PreferenceRequiresEnoughHealthyEndpoints":     testMinimumHealthy,
		"ConflictIsReportedWhileItLasts":               testConflict,
		"ImportWaitsForItsNamespace":                   testMissingNamespace,
		"EndpointsOfAnUnreachableDatacenterAreRemoved": testUnreachable,
		"MirrorHasTheEndpointsOfOneDatacenter":         testMirror,
		"HeadlessServiceIsMirrored":                    testHeadlessMirror,
		"ServiceWithTheNameOfAMirrorIsKept":            testMirrorNameTaken,
		"OldestExportHasTheNameOfAMirror":              testMirrorRivals,
		"MirrorLeavesTheNameOfADerivedService":         testMirrorDerivedName,
		"ExportReportsThatItsMirrorHasARival":          testMirrorRivalOfExport,
		"AnnotationRequestsAMirror":                    testMirrorAnnotation,
		"RemovalDeletesMirrors":                        testMirrorRemoval,
		"CutOffClusterPrefersLocalEndpoints":           testCutOff,
		"AffinityAppliesDuringAnOutage":                testAffinity,
		"RevertedChangeIsUndone":                       testRevertedChange,
		"ManualChangesAreReverted":                     testManualChange,
		"ServiceWithTheDerivedNameIsKept":              testDerivedNameTaken,
		"OwnEndpointsAreUpdatedWithoutALeader":         testNoLeader,
		"RefusedExportDoesNotHoldBackOthers":           testRefusal,
		"ContentThatOthersWouldRefuseIsNotExported":    testInvalidContent,
		"ContentThatTheAPIServerRefusesIsDropped":      testRefusedContent,
		"ImportSetsThePreferenceOfItsCluster":          testImportPreference,
		"DeletedDerivedServiceGetsItsAddressAgain":     testDeletedDerivedService,
		"AnotherGatewayTakesOver":                      testFailover,
		"RemovalKeepsTheObjectsOfUsers":                testRemoval,
		"StatusCountsTheObjects":                       testStatus,
		"BurstIsWritten":                               testBurst,
		"ImportHasTheAddressesOfItsDerivedService":     testImportAddresses,
		"RegisteredServiceIsImportedOnRequest":         testRegistered,
		"ExportTakesPrecedenceOverRegistrations":       testRegisteredAndExported,
	}}
}

func testExport(_ *testing.T, f *fixture) {
	f.createService("web", nil, "10.1.0.1", "!10.1.0.2")
	f.createExport("web")
	f.eventually(f.published("web"), "ClusterSetIP | 10.1.0.1 !10.1.0.2")
	f.eventually(f.condition("web", mcsv1.ServiceExportConditionValid), "True Valid")
	f.eventually(f.condition("web", mcsv1.ServiceExportConditionReady), "True Exported")
	f.eventually(f.condition("web", mcsv1.ServiceExportConditionConflict), "False NoConflicts")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east | 10.1.0.1")
	f.setEndpoints("web", "10.1.0.3", "192.0.2.1")
	f.eventually(f.published("web"), "ClusterSetIP | 10.1.0.3")
	f.deleteExport("web")
	f.eventually(f.published("web"), "none")
	f.eventually(f.imported(f.ns, "web"), "none")
}

func testInvalidExport(t *testing.T, f *fixture) {
	f.createExport("web")
	f.eventually(f.condition("web", mcsv1.ServiceExportConditionValid), "False NoService")
	f.createExport("out")
	f.createService("out", func(s *corev1.Service) {
		s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.com"}
	})
	f.eventually(f.condition("out", mcsv1.ServiceExportConditionValid), "False InvalidServiceType")
	f.eventually(f.condition("out", mcsv1.ServiceExportConditionReady), "False Failed")
	assert.Equal(t, "none", f.published("out")())
	f.createService("web", nil, "10.1.0.1") // later than its export
	f.eventually(f.condition("web", mcsv1.ServiceExportConditionValid), "True Valid")
	f.eventually(f.published("web"), "ClusterSetIP | 10.1.0.1")
}

func testImport(t *testing.T, f *fixture) {
	west := f.exportFrom("west", f.ns, "web", 0, func(e *catalog.Export) {
		e.SessionAffinity, e.SessionAffinitySeconds = catalog.ClientIPAffinity, 10
		e.Labels = map[string]string{"tier": "front"}
	}, "10.2.0.1", "10.2.0.2")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP west | 10.2.0.1 10.2.0.2")
	i, err := f.cluster.Import(t.Context(), f.ns, "web")
	require.NoError(t, err)
	derived, err := f.cluster.Kubernetes.CoreV1().Services(f.ns).Get(t.Context(), i.Annotations[mcs.DerivedServiceAnnotation], metav1.GetOptions{})
	require.NoError(t, err)
	assert.NotEmpty(t, i.Spec.IPs)
	assert.Equal(t, derived.Spec.ClusterIPs, i.Spec.IPs)
	assert.Equal(t, corev1.ServiceAffinityClientIP, derived.Spec.SessionAffinity)
	assert.Equal(t, corev1.ServiceAffinityClientIP, i.Spec.SessionAffinity)
	assert.Equal(t, derived.Spec.SessionAffinityConfig, i.Spec.SessionAffinityConfig)
	assert.Equal(t, []mcsv1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80}}, i.Spec.Ports)
	assert.Equal(t, "front", i.Labels["tier"])
	slice := f.slices(f.ns, "web")[0]
	assert.Equal(t, derived.Name, slice.Labels[discoveryv1.LabelServiceName])
	assert.Equal(t, "west", slice.Labels[mcsv1.LabelSourceCluster])
	assert.Equal(t, i.UID, slice.OwnerReferences[0].UID)
	assert.Equal(t, i.UID, derived.OwnerReferences[0].UID)
	for _, owner := range []metav1.OwnerReference{slice.OwnerReferences[0], derived.OwnerReferences[0]} {
		assert.Equal(t, mcsv1.GroupName+"/"+f.cluster.Release.Version(), owner.APIVersion, "the garbage collector can resolve it")
	}

	north := f.exportFrom("north", f.ns, "web", younger, func(e *catalog.Export) {
		e.Ports = append(e.Ports, catalog.ExportPort{Name: "dns", Protocol: "udp", Number: 53})
	}, "10.3.0.1")
	f.eventually(f.ports("web"), "http 80 dns 53")
	f.catalog.At("west").Delete(t, west)
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP north | 10.3.0.1")
	after, err := f.cluster.Import(t.Context(), f.ns, "web")
	require.NoError(t, err)
	assert.Equal(t, i.Spec.IPs, after.Spec.IPs, "the address is constant while the import exists")
	f.catalog.At("north").Delete(t, north)
	f.eventually(f.imported(f.ns, "web"), "none")
	f.eventually(f.ports("web"), "none")
}

// ports reads the ports of the derived Service, "none" if it does not exist.
func (f *fixture) ports(name string) func() string {
	return func() string {
		derived := mcs.DerivedName(catalog.ServiceName{Namespace: f.ns, Name: name})
		s, err := f.cluster.Kubernetes.CoreV1().Services(f.ns).Get(f.t.Context(), derived, metav1.GetOptions{})
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

// The clusterset IPs are those of the derived Service, as many as the CRDs support.
func testImportAddresses(t *testing.T, f *fixture) {
	f.exportFrom("west", f.ns, "web", 0, func(e *catalog.Export) { e.IPFamilies = []catalog.IPFamily{catalog.IPv4, catalog.IPv6} }, "10.2.0.1")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP west | 10.2.0.1")
	derived, err := f.cluster.Kubernetes.CoreV1().Services(f.ns).Get(t.Context(), mcs.DerivedName(catalog.ServiceName{Namespace: f.ns, Name: "web"}), metav1.GetOptions{})
	require.NoError(t, err)
	require.Len(t, derived.Spec.ClusterIPs, 2, "the cluster is dual stack")
	addresses, families := fmt.Sprint(derived.Spec.ClusterIPs), fmt.Sprint(derived.Spec.IPFamilies)
	if f.cluster.Release == kubetest.Oldest {
		addresses, families = fmt.Sprint(derived.Spec.ClusterIPs[:1]), "[]"
	}
	f.eventually(func() string {
		i, err := f.cluster.Import(t.Context(), f.ns, "web")
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(i.Spec.IPs) + fmt.Sprint(i.Spec.IPFamilies)
	}, addresses+families)
}

func testHeadless(t *testing.T, f *fixture) {
	west := f.exportFrom("west", f.ns, "db", 0, func(e *catalog.Export) { e.Type = catalog.Headless }, "10.2.0.1")
	f.eventually(f.imported(f.ns, "db"), "Headless west | 10.2.0.1")
	assert.Equal(t, "none", f.ports("db")())
	f.exportFrom("north", f.ns, "db", older, nil, "10.3.0.1") // the oldest takes precedence
	f.eventually(f.imported(f.ns, "db"), "ClusterSetIP north west | 10.3.0.1 10.2.0.1")
	f.eventually(f.ports("db"), "http 80")
	f.catalog.At("north").Delete(t, catalog.ExportKey{Datacenter: "north", Namespace: f.ns, Name: "db"})
	f.eventually(f.imported(f.ns, "db"), "Headless west | 10.2.0.1")
	f.eventually(f.ports("db"), "none")
	i, err := f.cluster.Import(t.Context(), f.ns, "db")
	require.NoError(t, err)
	assert.Empty(t, i.Spec.IPs)
	f.catalog.At("west").Delete(t, west)
	f.eventually(f.imported(f.ns, "db"), "none")
}

func testConflict(t *testing.T, f *fixture) {
	f.createService("web", nil, "10.1.0.1")
	f.createExport("web")
	west := f.exportFrom("west", f.ns, "web", older, func(e *catalog.Export) { e.Type, e.Ports[0].Number = catalog.Headless, 81 })
	f.eventually(f.condition("web", mcsv1.ServiceExportConditionConflict), "True PortConflict,TypeConflict")
	f.catalog.At("west").Delete(t, west)
	f.eventually(f.condition("web", mcsv1.ServiceExportConditionConflict), "False NoConflicts")
}

func testMissingNamespace(t *testing.T, f *fixture) {
	later := f.ns + "-later"
	f.exportFrom("west", later, "web", 0, nil, "10.2.0.1")
	f.exportFrom("west", f.ns, "web", 0, nil, "10.2.0.2")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP west | 10.2.0.2")
	assert.Equal(t, "none", f.imported(later, "web")())
	f.cluster.CreateNamespace(t, later)
	f.eventually(f.imported(later, "web"), "ClusterSetIP west | 10.2.0.1")
}

func testUnreachable(_ *testing.T, f *fixture) {
	f.exportFrom("west", f.ns, "web", 0, nil, "10.2.0.1")
	f.exportFrom("north", f.ns, "web", younger, nil, "10.3.0.1")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP north west | 10.3.0.1 10.2.0.1")
	f.setOutage(mcs.Outage{Withdrawn: []catalog.DatacenterName{"west"}})
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP north west | 10.3.0.1")
	f.setOutage(mcs.Outage{})
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP north west | 10.3.0.1 10.2.0.1")
}

// All other datacenters are doubtful.
func testCutOff(_ *testing.T, f *fixture) {
	f.createService("web", nil, "10.1.0.1")
	f.createExport("web")
	f.exportFrom("west", f.ns, "web", younger, nil, "10.2.0.1")
	f.exportFrom("west", f.ns, "db", 0, nil, "10.2.0.2")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east west | 10.1.0.1 10.2.0.1")
	f.eventually(f.imported(f.ns, "db"), "ClusterSetIP west | 10.2.0.2")
	f.setOutage(mcs.Outage{Doubtful: []catalog.DatacenterName{"west"}})
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east west | 10.1.0.1")
	f.eventually(f.imported(f.ns, "db"), "ClusterSetIP west | 10.2.0.2")
	f.setEndpoints("web", "!10.1.0.1") // a doubtful endpoint is used if there is no other
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east west | 10.2.0.1")
	f.setEndpoints("web", "10.1.0.1")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east west | 10.1.0.1")
	f.setOutage(mcs.Outage{})
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east west | 10.1.0.1 10.2.0.1")
}

// The deletion of the slice makes the controller reconcile the name while the export of
// north exists. An observer of the catalog that reads it only at intervals may never
// see that export.
func testRevertedChange(t *testing.T, f *fixture) {
	f.exportFrom("west", f.ns, "web", 0, nil, "10.2.0.1")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP west | 10.2.0.1")
	for range 5 {
		slice := f.slices(f.ns, "web")[0]
		north := f.exportFrom("north", f.ns, "web", younger, nil, "10.3.0.1")
		err := f.cluster.Kubernetes.DiscoveryV1().EndpointSlices(f.ns).Delete(t.Context(), slice.Name, metav1.DeleteOptions{})
		require.NoError(t, err)
		f.eventually(f.imported(f.ns, "web"), "ClusterSetIP north west | 10.3.0.1 10.2.0.1")
		f.catalog.At("north").Delete(t, north)
		f.eventually(f.imported(f.ns, "web"), "ClusterSetIP west | 10.2.0.1")
	}
}

func testManualChange(t *testing.T, f *fixture) {
	f.exportFrom("west", f.ns, "web", 0, nil, "10.2.0.1")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP west | 10.2.0.1")
	slice := f.slices(f.ns, "web")[0]
	slice.Endpoints[0].Addresses = []string{"10.2.0.99"}
	_, err := f.cluster.Kubernetes.DiscoveryV1().EndpointSlices(f.ns).Update(t.Context(), &slice, metav1.UpdateOptions{})
	require.NoError(t, err)
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP west | 10.2.0.1")
	require.NoError(t, f.cluster.Kubernetes.DiscoveryV1().EndpointSlices(f.ns).Delete(t.Context(), slice.Name, metav1.DeleteOptions{}))
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP west | 10.2.0.1")
	require.NoError(t, f.cluster.DeleteImport(t.Context(), f.ns, "web"))
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP west | 10.2.0.1")
}

func testDerivedNameTaken(_ *testing.T, f *fixture) {
	derived := mcs.DerivedName(catalog.ServiceName{Namespace: f.ns, Name: "web"})
	f.createService(derived, func(s *corev1.Service) { s.Spec.Ports[0].Port = 4242 })
	west := f.exportFrom("west", f.ns, "web", 0, nil, "10.2.0.1")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP west"+f.notReady()+" | 10.2.0.1")
	f.catalog.At("west").Delete(f.t, west)
	f.eventually(f.imported(f.ns, "web"), "none")
	f.eventually(f.ports("web"), "http 4242")
}

func testNoLeader(_ *testing.T, f *fixture) {
	f.createService("web", nil, "10.1.0.1")
	f.createExport("web")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east | 10.1.0.1")
	f.eventually(f.published("web"), "ClusterSetIP | 10.1.0.1")
	f.catalog.SetLeader(false)
	f.setEndpoints("web", "10.1.0.2")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east | 10.1.0.2")
	f.createService("api", nil, "10.1.0.3")
	f.createExport("api")
	f.eventually(f.condition("api", mcsv1.ServiceExportConditionReady), "False Pending")
	f.catalog.SetLeader(true)
	f.eventually(f.published("web"), "ClusterSetIP | 10.1.0.2")
	f.eventually(f.published("api"), "ClusterSetIP | 10.1.0.3")
	f.eventually(f.condition("api", mcsv1.ServiceExportConditionReady), "True Exported")
}

func testRefusal(_ *testing.T, f *fixture) {
	f.catalog.Refuse("refused")
	f.createService("refused", nil, "10.1.0.1")
	f.createService("web", nil, "10.1.0.2")
	f.createExport("refused")
	f.createExport("web")
	f.eventually(f.condition("refused", mcsv1.ServiceExportConditionReady), "False Failed")
	f.eventually(f.published("web"), "ClusterSetIP | 10.1.0.2")
	f.eventually(f.condition("web", mcsv1.ServiceExportConditionReady), "True Exported")
}

func testFailover(t *testing.T, f *fixture) {
	f.startGateway("gw1")
	assert.Equal(t, "gw0", f.leaseHolder())
	f.stop()
	f.eventually(f.leaseHolder, "gw1")
	f.exportFrom("west", f.ns, "web", 0, nil, "10.2.0.1")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP west | 10.2.0.1")
}

func testRemoval(t *testing.T, f *fixture) {
	f.createService("web", nil, "10.1.0.1")
	f.createExport("web")
	f.exportFrom("west", f.ns, "web", younger, nil, "10.2.0.1")
	f.eventually(f.imported(f.ns, "web"), "ClusterSetIP east west | 10.1.0.1 10.2.0.1")
	f.stop()
	require.NoError(t, controller.Remove(t.Context(), f.cluster.Kubernetes, f.cluster.MCS))
	f.eventually(f.imported(f.ns, "web"), "none")
	assert.Equal(t, "none", f.ports("web")())
	_, err := f.cluster.Kubernetes.CoreV1().Services(f.ns).Get(t.Context(), "web", metav1.GetOptions{})
	require.NoError(t, err)
	_, err = f.cluster.Export(t.Context(), f.ns, "web")
	require.NoError(t, err)
	_, err = f.cluster.Kubernetes.DiscoveryV1().EndpointSlices(f.ns).Get(t.Context(), "web-1", metav1.GetOptions{})
	require.NoError(t, err)
}

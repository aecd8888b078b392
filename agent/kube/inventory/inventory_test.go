package inventory

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/tools/record"

	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func datacenter(name string, ordinal uint32, cidr string, gateways ...plan.GatewayReachability) plan.DatacenterReachability {
	return plan.DatacenterReachability{
		Datacenter: catalog.Datacenter{
			Name: catalog.DatacenterName(name), Ordinal: ordinal,
			Prefixes: []catalog.Prefix{{CIDR: netip.MustParsePrefix(cidr), Kind: catalog.PodPrefix}},
		},
		Self: name == "east", Gateways: gateways,
	}
}

func gateway(name string, index uint32, up bool, rtt time.Duration) plan.GatewayReachability {
	return plan.GatewayReachability{
		Gateway: catalog.Gateway{
			Name: name, Index: index, Overlay: netip.MustParseAddr("fd77::1"), Version: "1.0", Endpoints: []string{"192.0.2.1:51820"},
		},
		Session: plan.Session{Up: up, RTT: rtt},
	}
}

// federation is the view of gateway self of east, of east and west.
func federation(self string, west ...plan.GatewayReachability) View {
	return View{
		Reachability: plan.Reachability{
			State: plan.IsMember, Synced: true, Self: catalog.NewGatewayID("east", self),
			Federation: catalog.Federation{ID: "f", Name: "demo", Overlay: netip.MustParsePrefix("fd77::/48")},
			Datacenters: []plan.DatacenterReachability{
				datacenter("east", 1, "10.1.0.0/16", gateway("a", 0, true, 0), gateway("b", 1, true, 0)),
				datacenter("west", 2, "10.2.0.0/16", west...),
			},
		},
		Addresses: map[string][]netip.Addr{"a": {netip.MustParseAddr("192.0.2.1")}, "b": {netip.MustParseAddr("192.0.2.2")}},
	}
}

// waitIdle waits in the fake time of the bubble until the informers have synced and
// all goroutines wait.
func waitIdle() {
	time.Sleep(time.Second)
	synctest.Wait()
}

func conditions(s Status) string {
	var words []string
	for _, c := range s.Conditions {
		words = append(words, c.Type+"="+string(c.Status)+" "+c.Reason)
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

func TestMergeDoesNotDependOnTheOrderOfWriters(t *testing.T) {
	a := federation("a", gateway("x", 0, true, 20*time.Millisecond), gateway("y", 1, false, 0))
	b := federation("b", gateway("x", 0, true, 5*time.Millisecond), gateway("y", 1, true, 9*time.Millisecond))
	write := func(order ...View) Status {
		var s Status
		for _, v := range order {
			s = merge(s, v, v.Datacenters[1], 1, now)
		}
		return s
	}
	want := write(a, b)
	assert.Equal(t, want, write(b, a))
	assert.Equal(t, want, write(a, b, a, b))
	assert.Equal(t, Summary{Prefixes: "10.2.0.0/16", Gateways: "2/2", RTT: "5ms"}, want.Summary)
	assert.Equal(t, "Reachable=True TunnelUp, Ready=True Routed", conditions(want))

	alone := federation("a", a.Datacenters[1].Gateways...)
	alone.Datacenters[0].Gateways = alone.Datacenters[0].Gateways[:1]
	s := merge(want, alone, alone.Datacenters[1], 1, now)
	assert.Equal(t, []Through{{Gateway: "a", Peers: []Peer{{"x", true, "20ms"}, {"y", false, ""}}}}, s.Through, "b is no longer a gateway")
	assert.Equal(t, "1/2", s.Summary.Gateways)
}

func TestDrainedGatewayIsNotUsedUnlessAllAreDrained(t *testing.T) {
	v := federation("a", gateway("x", 0, true, time.Millisecond))
	v.Draining = true
	reached := func() bool { return merge(Status{}, v, v.Datacenters[1], 1, now).Through[0].Peers[0].Reachable }
	assert.False(t, reached(), "b is active")
	v.Datacenters[0].Gateways[0].Draining = true
	assert.False(t, reached(), "with the record in the catalog")
	v.Datacenters[0].Gateways[1].Draining = true
	assert.True(t, reached(), "there is no other path")
}

func TestConditionsReportWhatIsWrong(t *testing.T) {
	votes := gateway("x", 0, true, 0)
	votes.Witness = true
	up := gateway("x", 0, true, time.Millisecond)
	refused := plan.Problem{Code: "prefix-overlap", Subject: "datacenter west", Message: "prefix 10.2.0.0/16 is not used"}
	for name, c := range map[string]struct {
		west     []plan.GatewayReachability
		problems []plan.Problem
		want     string
	}{
		"up":               {west: []plan.GatewayReachability{up}, want: "Reachable=True TunnelUp, Ready=True Routed"},
		"down":             {west: []plan.GatewayReachability{gateway("x", 0, false, 0)}, want: "Reachable=False NoTunnel, Ready=False NotReachable"},
		"a witness":        {west: []plan.GatewayReachability{votes}, want: "Reachable=True TunnelUp, Ready=True Witness"},
		"without gateways": {want: "Reachable=False NoGateway, Ready=False NotReachable"},
		"with a bad prefix": {
			west: []plan.GatewayReachability{up}, problems: []plan.Problem{refused}, want: "Reachable=True TunnelUp, Ready=False PrefixRefused",
		},
	} {
		v := federation("a", c.west...)
		v.Problems = c.problems
		s := merge(Status{}, v, v.Datacenters[1], 7, now)
		assert.Equal(t, c.want, conditions(s), name)
		assert.EqualValues(t, 7, s.Conditions[0].ObservedGeneration)
		later := merge(s, v, v.Datacenters[1], 7, now.Add(time.Hour))
		assert.Equal(t, s, later, "%s: nothing differs, so nothing is written", name)
	}
	v := federation("a")
	assert.Equal(t, "Reachable=True Self, Ready=True Routed", conditions(merge(Status{}, v, v.Datacenters[0], 1, now)))
}

func TestSmallChangesOfRoundTripTimesAreNotWritten(t *testing.T) {
	rtt := func(first, second time.Duration) string {
		v := federation("a", gateway("x", 0, true, first))
		s := merge(Status{}, v, v.Datacenters[1], 1, now)
		v = federation("a", gateway("x", 0, true, second))
		return merge(s, v, v.Datacenters[1], 1, now).Summary.RTT
	}
	assert.Equal(t, "40ms", rtt(40*time.Millisecond, 45*time.Millisecond))
	assert.Equal(t, "60ms", rtt(40*time.Millisecond, 60*time.Millisecond))
	assert.Equal(t, "1ms", rtt(time.Millisecond, 2500*time.Microsecond))
	assert.Equal(t, "4.2ms", rtt(0, 4213*time.Microsecond))
	assert.Equal(t, "250µs", rtt(0, 253*time.Microsecond))
}

// testCluster is an API server in memory with the writer of one gateway.
type testCluster struct {
	client *dynamicfake.FakeDynamicClient
	events *record.FakeRecorder
	writer *Writer
	now    plan.Reachability
}

func newTestCluster(t *testing.T) *testCluster {
	t.Helper()
	kinds := map[schema.GroupVersionResource]string{Kind().Resource(): Kind().Name + "List"}
	w := &testCluster{client: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds), events: record.NewFakeRecorder(100)}
	w.setView(federation("a", gateway("x", 0, true, time.Millisecond)))
	w.writer = w.newWriter(t, func() plan.Reachability { return w.now })
	return w
}

// newWriter returns a writer whose passes the test runs.
func (w *testCluster) newWriter(t *testing.T, reachability func() plan.Reachability) *Writer {
	t.Helper()
	writer, err := NewWriter(WriterConfig{
		Client: w.client, Events: w.events, Reachability: reachability,
		Addresses: func() map[string][]netip.Addr { return federation("a").Addresses },
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	wait := writer.objects.Start(ctx)
	t.Cleanup(func() { stop(); wait() })
	waitIdle()
	require.True(t, writer.objects.Synced())
	return writer
}

func (w *testCluster) setView(v View) {
	w.now = v.Reachability
}

func (w *testCluster) objects(t *testing.T) map[string]Datacenter {
	t.Helper()
	list, err := w.client.Resource(Kind().Resource()).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	found := map[string]Datacenter{}
	for _, object := range list.Items {
		dc, err := Kind().Decode(&object)
		require.NoError(t, err)
		found[dc.Name] = dc
	}
	return found
}

// pass runs a pass and waits until the writer has observed its own writes.
func (w *testCluster) pass(t *testing.T, writer *Writer) {
	t.Helper()
	require.Equal(t, kube.RecheckInterval, writer.pass(t.Context()))
	w.await(t, writer)
}

// await waits until the writer has observed all objects.
func (w *testCluster) await(t *testing.T, writer *Writer) {
	t.Helper()
	waitIdle()
	have, err := writer.objects.List()
	require.NoError(t, err)
	require.Equal(t, w.objects(t), have)
}

// takeEvents returns the Events since the last call.
func (w *testCluster) takeEvents() []string {
	var events []string
	for len(w.events.Events) > 0 {
		events = append(events, <-w.events.Events)
	}
	return events
}

func TestOneObjectForEachMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTestCluster(t)
		w.pass(t, w.writer)
		have := w.objects(t)
		require.Len(t, have, 2)
		assert.Equal(t, []string{"192.0.2.1"}, have["east"].Status.Gateways[0].NodeIPs)
		assert.Empty(t, have["west"].Status.Gateways[0].NodeIPs, "only for the own cluster")
		assert.True(t, meta.IsStatusConditionTrue(have["west"].Status.Conditions, ConditionReachable))
		assert.Len(t, w.takeEvents(), 3, "two joined, one became reachable")

		writes := len(w.client.Actions())
		w.pass(t, w.writer)
		for _, action := range w.client.Actions()[writes:] {
			assert.NotContains(t, []string{"create", "update", "delete"}, action.GetVerb(), "nothing differs")
		}

		w.setView(federation("a", gateway("x", 0, false, 0)))
		w.pass(t, w.writer)
		assert.Equal(t, []string{"Warning Unreachable no gateway of datacenter west answers through a tunnel"}, w.takeEvents())

		left := federation("a")
		left.Datacenters = left.Datacenters[:1]
		w.setView(left)
		w.pass(t, w.writer)
		assert.Len(t, w.objects(t), 1)
		assert.Equal(t, []string{"Normal Left datacenter west is no longer in the federation"}, w.takeEvents())
	})
}

func TestAddedAndRemovedGatewaysAreRecordedAsEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTestCluster(t)
		w.pass(t, w.writer)
		w.takeEvents()
		w.setView(federation("a", gateway("x", 0, true, time.Millisecond), gateway("y", 1, true, time.Millisecond)))
		w.pass(t, w.writer)
		assert.Equal(t, []string{"Normal GatewayAdded gateway y of datacenter west is in the federation"}, w.takeEvents())
		w.setView(federation("a", gateway("y", 1, true, time.Millisecond)))
		w.pass(t, w.writer)
		assert.Equal(t, []string{"Normal GatewayRemoved gateway x of datacenter west is no longer in the federation"}, w.takeEvents())
	})
}

func TestGatewayThatIsNoMemberDeletesNothingWhileItsDatacenterIsMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTestCluster(t)
		w.pass(t, w.writer)
		w.now.State = plan.MembershipChanging
		w.pass(t, w.writer)
		assert.Len(t, w.objects(t), 2)
		w.now.State = plan.NotMember
		w.pass(t, w.writer)
		assert.Empty(t, w.objects(t))
	})
}

func TestObjectsOfAFederationThatWasLeftStayUntilItIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTestCluster(t)
		w.pass(t, w.writer)
		before := w.objects(t)
		w.now.State, w.now.Guarded, w.now.Datacenters = plan.NotMember, true, nil
		for range 2 {
			w.pass(t, w.writer)
			w.await(t, w.writer)
		}
		objects := w.objects(t)
		require.Len(t, objects, 2)
		for name, dc := range objects {
			assert.Equal(t, before[name].Status.Through, dc.Status.Through)
			assert.Equal(t, ReasonDeparted, meta.FindStatusCondition(dc.Status.Conditions, ConditionReady).Reason)
			assert.True(t, meta.IsStatusConditionFalse(dc.Status.Conditions, ConditionReachable))
		}
		left := ToInventory([]Datacenter{objects["east"], objects["west"]})
		assert.Equal(t, "demo", left.Left)
		left.Left = ""
		assert.Equal(t, ToInventory([]Datacenter{before["east"], before["west"]}), left, "nodes route as before")

		w.now.Guarded = false
		w.pass(t, w.writer)
		assert.Empty(t, w.objects(t))
	})
}

func TestObjectsAreKeptIfForeignOrWhileTheCatalogIsNotSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTestCluster(t)
		foreign, err := Kind().Encode(Datacenter{ObjectMeta: metav1.ObjectMeta{Name: "mine"}})
		require.NoError(t, err)
		_, err = w.client.Resource(Kind().Resource()).Create(t.Context(), foreign, metav1.CreateOptions{})
		require.NoError(t, err)
		w.await(t, w.writer)
		w.pass(t, w.writer)
		assert.Len(t, w.objects(t), 3)
		w.now.Datacenters, w.now.Synced = nil, false
		w.pass(t, w.writer)
		assert.Len(t, w.objects(t), 3)
	})
}

func TestLeavingGatewayKeepsTheEntriesOfItsSiblings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTestCluster(t)
		other := newWriterOfB(t, w)
		w.pass(t, w.writer)
		w.await(t, other)
		w.pass(t, other)
		w.await(t, w.writer)
		require.Len(t, w.objects(t)["west"].Status.Through, 2)
		w.now.State = plan.NotMember
		w.pass(t, w.writer)
		w.await(t, other)
		require.Len(t, w.objects(t), 2)
		assert.Equal(t, "b", w.objects(t)["west"].Status.Through[0].Gateway)
		w.now.Self = "east/b" // the last gateway
		w.pass(t, w.writer)
		assert.Empty(t, w.objects(t))
	})
}

func newWriterOfB(t *testing.T, w *testCluster) *Writer {
	t.Helper()
	return w.newWriter(t, func() plan.Reachability {
		s := w.now
		s.Self = "east/b"
		return s
	})
}

func TestReaderReturnsWhatTheWriterWrote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTestCluster(t)
		w.pass(t, w.writer)
		dir := t.TempDir()
		r, err := NewReader(ReaderConfig{Client: w.client, Dir: dir})
		require.NoError(t, err)
		_, synced := r.Current()
		assert.False(t, synced)
		changed := r.Changed()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		defer func() {
			stop()
			require.NoError(t, <-ended)
		}()
		<-changed
		got, synced := r.Current()
		assert.True(t, synced)
		pods := func(cidr string) []catalog.Prefix {
			return []catalog.Prefix{{CIDR: netip.MustParsePrefix(cidr), Kind: catalog.PodPrefix}}
		}
		want := plan.Inventory{
			Overlay: netip.MustParsePrefix("fd77::/48"),
			Members: []plan.Member{
				{Name: "east", Ordinal: 1, Prefixes: pods("10.1.0.0/16")},
				{Name: "west", Ordinal: 2, Prefixes: pods("10.2.0.0/16"), Through: []string{"a"}},
			},
			Gateways: []plan.OwnGateway{{Name: "a", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}},
		}
		assert.Equal(t, want, got)
		waitIdle()
		again, err := NewReader(ReaderConfig{Client: w.client, Dir: dir})
		require.NoError(t, err)
		cached, synced := again.Current()
		assert.False(t, synced, "the cache file is no reason to delete")
		assert.Equal(t, want, cached)
	})
}

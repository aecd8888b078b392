package replica_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/quota"
)

// repeated returns commands of west by kind: when the last one of a kind is repeated, it
// changes nothing.
func repeated(t *testing.T) map[protoreflect.Name][]*catalogpb.Command {
	t.Helper()
	seen := observations(eastGateway)
	seen[0].At = start()
	service, export := testService("west", "web", "b", "10.2.0.1"), testExport("west", "new")
	slice := testSlice("west", "web", "web-new", "10.2.0.1")
	ranges := []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	return map[protoreflect.Name][]*catalogpb.Command{
		"init":              {catalog.NewInit(testFederation("fd12:3456:789a::/48"), testDatacenter(t, "west", "10.2.0.0/16"), testGateway("west", "gw0"))},
		"create_token":      {tokenCommand("t1")},
		"revoke_token":      {catalog.NewRevokeToken("open")},
		"join":              {catalog.NewJoin(joinRequest(t, "token-west", "west", "10.2.0.0/16"))},
		"leave":             {catalog.NewLeave("west")},
		"update_gateway":    {catalog.NewUpdateGateway(testGateway("west", "gw0"))},
		"update_datacenter": {catalog.NewUpdateDatacenter(testDatacenter(t, "west", "10.2.0.0/16", "10.4.0.0/16"))},
		"add_gateway":       {catalog.NewAddGateway(testGateway("west", "gw1"))},
		"remove_gateway":    {catalog.NewAddGateway(testGateway("west", "gw1")), catalog.NewRemoveGateway("west/gw1")},
		"put_services":      {catalog.NewPutServices([]catalog.Service{service})},
		"delete_services":   {catalog.NewDeleteServices([]catalog.ServiceKey{testService("west", "web", "a", "10.2.0.1").ServiceKey})},
		"put_observations":  {catalog.NewPutObservations(seen)},
		"put_exports":       {catalog.NewPutExports([]catalog.Export{export})},
		"delete_exports":    {catalog.NewDeleteExports([]catalog.ExportKey{testExport("west", "api").ExportKey})},
		"put_endpoints":     {catalog.NewPutEndpoints([]catalog.EndpointSlice{slice})},
		"delete_endpoints":  {catalog.NewDeleteEndpoints([]catalog.EndpointSliceKey{testSlice("west", "web", "web-abc12").EndpointSliceKey})},
		"remove_datacenter": {catalog.NewRemoveDatacenter("north", true)},
		"request_removal":   {catalog.NewRequestRemoval("north")},
		"allow_prefixes":    {catalog.NewAllowPrefixes(ranges)},
		"set_limits":        {catalog.NewSetLimits([]catalog.Limit{{Resource: "services", Most: uint64(quota.DefaultLimits().Services) + 1}})}, //nolint:gosec // positive
	}
}

func TestLeaderDoesNotWriteACommandThatIsRepeated(t *testing.T) {
	spends := []protoreflect.Name{"transfer_leader", "remove_peer"} // a budget, which bounds them
	commands := repeated(t)
	bodies := new(catalogpb.Command).ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
	require.Equal(t, bodies.Len(), len(commands)+len(spends), "each kind has a case")
	for i := range bodies.Len() {
		kind := bodies.Get(i).Name()
		if slices.Contains(spends, kind) {
			continue
		}
		t.Run(string(kind), func(t *testing.T) {
			m := populated(t)
			for _, id := range []catalog.GatewayID{eastGateway, westGateway, northGateway} {
				m.must(id, catalog.NewUpdateGateway(current(id)))
			}
			of := commands[kind]
			for _, cmd := range of {
				result := m.do(westGateway, cmd)
				require.Equal(t, kind == "init", result.Refusal != nil, "%v", result.Refusal)
			}
			m.wait(time.Second)
			v := m.judge(m.sign(westGateway, of[len(of)-1]))[0]
			assert.Nil(t, v.Command, "it is written again")
			assert.LessOrEqual(t, v.Result.Index, m.index)
		})
	}
}

func TestLeaderDoesNotWriteACommandThatTakesItsChangesBack(t *testing.T) {
	m := populated(t)
	service, export := testService("west", "web", "a", "10.2.0.1"), testExport("west", "web")
	slice := testSlice("west", "web", "web-abc12", "10.2.0.1", "10.2.0.2")
	otherService, otherExport, otherSlice := service, export, slice
	otherService.Ports, otherExport.Ports, otherSlice.Endpoints = nil, nil, nil
	for _, cmd := range []*catalogpb.Command{
		catalog.NewPutServices([]catalog.Service{otherService, service}),
		catalog.NewPutExports([]catalog.Export{otherExport, export}),
		catalog.NewPutEndpoints([]catalog.EndpointSlice{otherSlice, slice}),
	} {
		v := m.judge(m.sign(westGateway, cmd))[0]
		assert.Nil(t, v.Result.Refusal)
		assert.Nil(t, v.Command, "%T", cmd.GetBody())
	}
}

// The leader gives such an export the latest time that it accepts, which is another one
// each time.
func TestLeaderDoesNotWriteARepeatedExportOfTheFuture(t *testing.T) {
	m := populated(t)
	e := testExport("west", "web")
	e.CreatedAt = m.now.Add(time.Hour)
	put := func() *catalogpb.Command {
		return m.judge(m.sign(westGateway, catalog.NewPutExports([]catalog.Export{e})))[0].Command
	}
	e.Name = "later"
	first := put()
	require.NotNil(t, first)
	require.Nil(t, m.entry(first)[0].Refusal)
	for range 3 {
		m.wait(time.Minute)
		assert.Nil(t, put(), "it is written again")
	}
	m.wait(time.Hour)
	assert.NotNil(t, put(), "its time has come")
}

// What differs in more than the index of its last change is written.
func TestLeaderWritesWhatChangesARecord(t *testing.T) {
	m := populated(t)
	seen := observations(eastGateway)
	seen[0].Endpoint = netip.MustParseAddrPort("198.51.100.7:4501")
	labels := testService("west", "web", "a", "10.2.0.1")
	labels.Labels = nil
	for _, cmd := range []*catalogpb.Command{
		catalog.NewPutObservations(seen),
		catalog.NewPutServices([]catalog.Service{labels}),
	} {
		assert.NotNil(t, m.judge(m.sign(westGateway, cmd))[0].Command, "%T", cmd.GetBody())
	}
	assert.NotNil(t, m.judge(m.sign(eastGateway, catalog.NewRevokeToken("open")))[0].Command)
}

// A member could write without end what shows nothing new. Apply stores such a
// time, as builds before do.
func TestLeaderDoesNotWriteAnObservationOfWhichOnlyTheTimeDiffers(t *testing.T) {
	m := populated(t)
	seen := observations(eastGateway, northGateway)
	put := func() *catalogpb.Command { return m.sign(westGateway, catalog.NewPutObservations(seen)) }
	require.Nil(t, m.entry(put())[0].Refusal)
	for _, at := range []time.Time{m.now.Add(time.Second), {}, m.now.Add(-time.Hour), m.now.Add(100 * 365 * 24 * time.Hour)} {
		m.wait(time.Minute)
		seen[0].At, seen[1].At = at, at
		v := m.judge(put())[0]
		assert.Nil(t, v.Command, "it is written with the time %s", at)
		assert.Nil(t, v.Result.Refusal)
	}
	seen[1].Endpoint = netip.MustParseAddrPort("198.51.100.7:4501")
	assert.NotNil(t, m.judge(put())[0].Command, "one of them differs")
	seen[1].Endpoint = seen[0].Endpoint
	at := m.now.Add(time.Second)
	seen[0].At, seen[1].At = at, at
	require.Nil(t, m.entry(put())[0].Refusal)
	for _, o := range m.state.View().ObservationsBy(westGateway) {
		assert.True(t, o.At.Equal(at), "of a log that has it")
	}
}

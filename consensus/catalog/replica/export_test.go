package replica_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/batch"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

func putWest(exports ...catalog.Export) func(m *members) {
	return func(m *members) { m.must(westGateway, catalog.NewPutExports(exports)) }
}

func TestFilterSelectsExportsAndEndpoints(t *testing.T) {
	m := federationOfThree(t)
	putWest(testExport("west", "web"), testExport("west", "api"))(m)
	m.must(eastGateway, catalog.NewPutExports([]catalog.Export{testExport("east", "web")}))
	m.must(westGateway, catalog.NewPutEndpoints([]catalog.EndpointSlice{
		testSlice("west", "web", "b", "10.2.0.2"), testSlice("west", "web", "a", "10.2.0.1"), testSlice("west", "api", "a"),
	}))
	m.must(eastGateway, catalog.NewPutEndpoints([]catalog.EndpointSlice{testSlice("east", "web", "a", "10.1.0.1")}))
	for want, f := range map[string]replica.ExportFilter{
		"api/west web/east web/west | api/west/a web/east/a web/west/a web/west/b": {},
		"web/east web/west | web/east/a web/west/a web/west/b":                     {Namespace: "default", Name: "web"},
		"web/west | web/west/a web/west/b":                                         {Namespace: "default", Name: "web", Datacenter: "west"},
		"api/west web/west | api/west/a web/west/a web/west/b":                     {Datacenter: "west"},
		" | ": {Namespace: "default", Name: "we"},
	} {
		var exports, slices []string
		for _, e := range m.state.View().Exports(f) {
			exports = append(exports, fmt.Sprintf("%s/%s", e.Name, e.Datacenter))
		}
		for _, s := range m.state.View().EndpointSlices(f) {
			slices = append(slices, fmt.Sprintf("%s/%s/%s", s.Name, s.Datacenter, s.Slice))
		}
		assert.Equal(t, want, strings.Join(exports, " ")+" | "+strings.Join(slices, " "), "%+v", f)
	}
}

func TestPutExportsIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		code, field string
		edit        func(*catalog.Export)
	}{
		"another's datacenter": {catalog.CodeNotOwner, "datacenter", func(e *catalog.Export) { e.Datacenter = "east" }},
		"namespace":            {catalog.CodeNameInvalid, "namespace", func(e *catalog.Export) { e.Namespace = "" }},
		"name":                 {catalog.CodeNameInvalid, "name", func(e *catalog.Export) { e.Name = "a.b" }},
		"type":                 {catalog.CodeExportInvalid, "type", func(e *catalog.Export) { e.Type = "ExternalName" }},
		"session affinity":     {catalog.CodeExportInvalid, "session_affinity", func(e *catalog.Export) { e.SessionAffinity = "" }},
		"affinity of two days": {catalog.CodeExportInvalid, "session_affinity_seconds", func(e *catalog.Export) { e.SessionAffinitySeconds = 86401 }},
		"traffic policy":       {catalog.CodeExportInvalid, "internal_traffic_policy", func(e *catalog.Export) { e.InternalTrafficPolicy = "Zone" }},
		"distribution":         {catalog.CodeExportInvalid, "traffic_distribution", func(e *catalog.Export) { e.TrafficDistribution = strings.Repeat("x", 64) }},
		"affinity":             {catalog.CodeExportInvalid, "affinity", func(e *catalog.Export) { e.Affinity = "near" }},
		"no time":              {catalog.CodeExportInvalid, "created_at", func(e *catalog.Export) { e.CreatedAt = time.Time{} }},
		"family":               {catalog.CodeExportInvalid, "ip_families[0]", func(e *catalog.Export) { e.IPFamilies[0] = "IPv5" }},
		"family twice":         {catalog.CodeExportInvalid, "ip_families[1]", func(e *catalog.Export) { e.IPFamilies = append(e.IPFamilies, "IPv4") }},
		"port 0":               {catalog.CodePortInvalid, "ports[0]", func(e *catalog.Export) { e.Ports[0].Number = 0 }},
		"protocol":             {catalog.CodePortInvalid, "ports[0]", func(e *catalog.Export) { e.Ports[0].Protocol = "TCP" }},
		"port name":            {catalog.CodePortInvalid, "ports[0]", func(e *catalog.Export) { e.Ports[0].Name = "HTTP" }},
		"port name twice":      {catalog.CodePortInvalid, "ports[1]", func(e *catalog.Export) { e.Ports[1].Name = "http" }},
		"app protocol":         {catalog.CodePortInvalid, "ports[0]", func(e *catalog.Export) { e.Ports[0].AppProtocol = strings.Repeat("x", 318) }},
		"too many ports":       {catalog.CodeTooLarge, "ports", func(e *catalog.Export) { e.Ports = manyPorts(257, "") }},
		"labels":               {catalog.CodeLabelsInvalid, "labels", func(e *catalog.Export) { e.Labels = labels(65) }},
		"annotations":          {catalog.CodeLabelsInvalid, "annotations", func(e *catalog.Export) { e.Annotations["x"] = strings.Repeat("x", 4096) }},
	} {
		t.Run(name, func(t *testing.T) {
			m := federationOfThree(t)
			e := testExport("west", "web")
			c.edit(&e)
			r := m.refused(westGateway, catalog.NewPutExports([]catalog.Export{testExport("west", "api"), e}), c.code)
			assert.Equal(t, "exports[1]."+c.field, r.Field)
		})
	}
}

func TestPutEndpointsIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		code, field string
		edit        func(*catalog.EndpointSlice)
	}{
		"another's datacenter": {catalog.CodeNotOwner, "datacenter", func(s *catalog.EndpointSlice) { s.Datacenter = "east" }},
		"no export":            {catalog.CodeUnknownExport, "name", func(s *catalog.EndpointSlice) { s.Name = "api" }},
		"slice":                {catalog.CodeServiceInvalid, "slice", func(s *catalog.EndpointSlice) { s.Slice = "" }},
		"foreign address":      {catalog.CodeAddressForeign, "endpoints[1].address", func(s *catalog.EndpointSlice) { s.Endpoints[1].Address = netip.MustParseAddr("10.1.0.1") }},
		"no address":           {catalog.CodeAddressForeign, "endpoints[1].address", func(s *catalog.EndpointSlice) { s.Endpoints[1].Address = netip.Addr{} }},
		"hostname":             {catalog.CodeEndpointsInvalid, "endpoints[1].hostname", func(s *catalog.EndpointSlice) { s.Endpoints[1].Hostname = "a.b" }},
		"zone":                 {catalog.CodeEndpointsInvalid, "endpoints[1].zone", func(s *catalog.EndpointSlice) { s.Endpoints[1].Zone = strings.Repeat("x", 64) }},
		"port":                 {catalog.CodePortInvalid, "ports[0]", func(s *catalog.EndpointSlice) { s.Ports[0].Number = 0 }},
		"too many":             {catalog.CodeTooLarge, "endpoints", func(s *catalog.EndpointSlice) { s.Endpoints = make([]catalog.Endpoint, 201) }},
	} {
		t.Run(name, func(t *testing.T) {
			m := federationOfThree(t)
			putWest(testExport("west", "web"))(m)
			s := testSlice("west", "web", "b", "10.2.0.1", "10.2.0.2")
			c.edit(&s)
			good := testSlice("west", "web", "a", "10.2.0.3")
			r := m.refused(westGateway, catalog.NewPutEndpoints([]catalog.EndpointSlice{good, s}), c.code)
			assert.Equal(t, "slices[1]."+c.field, r.Field)
		})
	}
}

func TestEndpointSliceOfTwoFamiliesIsRefused(t *testing.T) {
	m := federationOfThree(t)
	m.must(northGateway, catalog.NewPutExports([]catalog.Export{testExport("north", "web")}))
	mixed := testSlice("north", "web", "a", "10.3.0.1", "fd00:3::1")
	r := m.refused(northGateway, catalog.NewPutEndpoints([]catalog.EndpointSlice{mixed}), catalog.CodeEndpointsInvalid)
	assert.Equal(t, "slices[0].endpoints[1].address", r.Field)
}

func TestDeletingAnExportDeletesItsEndpoints(t *testing.T) {
	m := federationOfThree(t)
	putWest(testExport("west", "web"), testExport("west", "web-2"))(m)
	m.must(westGateway, catalog.NewPutEndpoints([]catalog.EndpointSlice{
		testSlice("west", "web", "a", "10.2.0.1"), testSlice("west", "web-2", "a", "10.2.0.1"),
	}))
	key := testExport("west", "web").ExportKey
	m.refused(eastGateway, catalog.NewDeleteExports([]catalog.ExportKey{key}), catalog.CodeNotOwner)
	m.must(westGateway, catalog.NewDeleteExports([]catalog.ExportKey{key}))
	left := m.state.View().EndpointSlices(replica.ExportFilter{})
	require.Len(t, left, 1)
	assert.Equal(t, "web-2", left[0].Name)
	m.refused(eastGateway, catalog.NewDeleteEndpoints([]catalog.EndpointSliceKey{left[0].EndpointSliceKey}), catalog.CodeNotOwner)
	m.must(westGateway, catalog.NewDeleteEndpoints([]catalog.EndpointSliceKey{left[0].EndpointSliceKey}))
	assert.Empty(t, m.state.View().EndpointSlices(replica.ExportFilter{}))
	assert.Len(t, m.state.View().Exports(replica.ExportFilter{}), 1)
}

func TestLeavingDeletesExportsAndEndpoints(t *testing.T) {
	m := federationOfThree(t)
	putWest(testExport("west", "web"))(m)
	m.must(westGateway, catalog.NewPutEndpoints([]catalog.EndpointSlice{testSlice("west", "web", "a", "10.2.0.1")}))
	m.must(westGateway, catalog.NewLeave("west"))
	assert.Empty(t, m.state.View().Exports(replica.ExportFilter{}))
	assert.Empty(t, m.state.View().EndpointSlices(replica.ExportFilter{}))
}

func TestRemovingAPrefixDeletesItsEndpoints(t *testing.T) {
	m := federationOfThree(t)
	putWest(testExport("west", "web"))(m)
	m.must(westGateway, catalog.NewPutEndpoints([]catalog.EndpointSlice{
		testSlice("west", "web", "a", "10.2.0.1"), testSlice("west", "web", "b", "10.2.0.2", "10.2.200.1"),
	}))
	m.must(westGateway, catalog.NewUpdateDatacenter(catalog.Datacenter{Name: "west", Prefixes: prefixes(catalog.PodPrefix, "10.2.0.0/24")}))
	left := m.state.View().EndpointSlices(replica.ExportFilter{})
	require.Len(t, left, 1)
	assert.Equal(t, "a", left[0].Slice)
}

func TestServicesAreFoundByTheirOwner(t *testing.T) {
	m := federationOfThree(t)
	for _, name := range []string{"b", "a"} {
		m.must(westGateway, catalog.NewPutServices([]catalog.Service{testService("west", name, "i", "10.2.0.1")}))
	}
	view := m.state.View()
	all := view.Services(replica.ServiceFilter{Datacenter: "west"})
	require.Len(t, all, 2)
	assert.Equal(t, all, view.Services(replica.ServiceFilter{Owner: westGateway}))
	assert.Empty(t, view.Services(replica.ServiceFilter{Owner: "west/other"}))
	assert.Equal(t, map[catalog.DatacenterName]int{"west": 2}, view.CountServices())
}

func TestSplitEndpointsFitsCommands(t *testing.T) {
	m := federationOfThree(t)
	putWest(testExport("west", "web"))(m)
	var slices []catalog.EndpointSlice
	for i := range 50 {
		s := testSlice("west", "web", fmt.Sprint("s", i))
		for j := range 100 {
			s.Endpoints = append(s.Endpoints, catalog.Endpoint{
				Address: netip.AddrFrom4([4]byte{10, 2, byte(i), byte(j)}), Ready: true, Zone: "zone-a",
			})
		}
		slices = append(slices, s)
	}
	cmds := batch.Endpoints(slices)
	assert.Less(t, len(cmds), 6, "5,000 endpoints need few commands")
	for _, cmd := range cmds {
		m.must(westGateway, cmd)
	}
	assert.Len(t, m.state.View().EndpointSlices(replica.ExportFilter{}), len(slices))
}

// manyPorts returns n ports that differ in name and number.
func manyPorts(n int, appProtocol string) []catalog.ExportPort {
	ports := make([]catalog.ExportPort, n)
	for i := range ports {
		ports[i] = catalog.ExportPort{Name: fmt.Sprintf("port-%d", i), Protocol: "tcp", Number: uint16(i + 1), AppProtocol: appProtocol}
	}
	return ports
}

func TestServiceOfAllPossiblePortsFitsIntoACommand(t *testing.T) {
	m := federationOfThree(t)
	e := testExport("west", "web")
	e.Ports = manyPorts(256, "kubernetes.io/h2c")
	require.Len(t, batch.Exports([]catalog.Export{e}), 1)
	m.must(westGateway, catalog.NewPutExports([]catalog.Export{e}))
	e.Ports = manyPorts(256, strings.Repeat("x", 317))
	require.NotNil(t, e.Check(), "the writer refuses what no command can hold")
	assert.Equal(t, catalog.CodeTooLarge, e.Check().Code)
}

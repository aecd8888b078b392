package replica_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

func TestFilterSelectsServices(t *testing.T) {
	m := federationOfThree(t)
	other := testService("west", "web", "c", "10.2.0.3")
	other.Namespace = "prod"
	m.must(westGateway, catalog.NewPutServices([]catalog.Service{
		other, testService("west", "web", "b", "10.2.0.2"), testService("west", "api", "a", "10.2.0.1"),
	}))
	m.must(eastGateway, catalog.NewPutServices([]catalog.Service{testService("east", "web", "a", "10.1.0.1")}))
	for want, f := range map[string]replica.ServiceFilter{
		"api/west/a web/east/a web/west/b web/west/c": {},
		"api/west/a web/east/a web/west/b":            {Namespace: "default"},
		"web/east/a web/west/b":                       {Namespace: "default", Name: "web"},
		"web/east/a web/west/b web/west/c":            {Name: "web"},
		"api/west/a web/west/b web/west/c":            {Datacenter: "west"},
		"web/west/b":                                  {Namespace: "default", Name: "web", Datacenter: "west"},
		"web/east/a":                                  {Owner: eastGateway},
		"":                                            {Name: "we"},
	} {
		var got []string
		for _, s := range m.state.View().Services(f) {
			got = append(got, fmt.Sprintf("%s/%s/%s", s.Name, s.Datacenter, s.Instance))
		}
		assert.Equal(t, want, strings.Join(got, " "), "%+v", f)
	}
}

func TestPutServicesIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		code, field string
		edit        func(*catalog.Service)
	}{
		"another's datacenter": {catalog.CodeNotOwner, "services[1].datacenter", func(s *catalog.Service) { s.Datacenter = "east" }},
		"no datacenter":        {catalog.CodeNotOwner, "services[1].datacenter", func(s *catalog.Service) { s.Datacenter = "" }},
		"owner is another's":   {catalog.CodeNotOwner, "services[1].owner", func(s *catalog.Service) { s.Owner = eastGateway }},
		"owner is unknown":     {catalog.CodeUnknownGateway, "services[1].owner", func(s *catalog.Service) { s.Owner = "west/gw9" }},
		"namespace":            {catalog.CodeNameInvalid, "services[1].namespace", func(s *catalog.Service) { s.Namespace = "" }},
		"name":                 {catalog.CodeNameInvalid, "services[1].name", func(s *catalog.Service) { s.Name = "-web" }},
		"instance":             {catalog.CodeServiceInvalid, "services[1].instance", func(s *catalog.Service) { s.Instance = "a b" }},
		"no instance":          {catalog.CodeServiceInvalid, "services[1].instance", func(s *catalog.Service) { s.Instance = "" }},
		"address of another":   {catalog.CodeAddressForeign, "services[1].address", func(s *catalog.Service) { s.Address = netip.MustParseAddr("10.1.0.1") }},
		"no address":           {catalog.CodeAddressForeign, "services[1].address", func(s *catalog.Service) { s.Address = netip.Addr{} }},
		"mapped address":       {catalog.CodeAddressForeign, "services[1].address", func(s *catalog.Service) { s.Address = netip.MustParseAddr("::ffff:10.2.0.1") }},
		"port 0":               {catalog.CodePortInvalid, "services[1].ports[0]", func(s *catalog.Service) { s.Ports[0].Number = 0 }},
		"protocol":             {catalog.CodePortInvalid, "services[1].ports[0]", func(s *catalog.Service) { s.Ports[0].Protocol = "sctp" }},
		"port name":            {catalog.CodePortInvalid, "services[1].ports[0]", func(s *catalog.Service) { s.Ports[0].Name = "HTTP" }},
		"port repeated": {catalog.CodePortInvalid, "services[1].ports[1]", func(s *catalog.Service) {
			s.Ports = append(s.Ports, catalog.Port{Name: "x", Protocol: "tcp", Number: 80})
		}},
		"port name repeated": {catalog.CodePortInvalid, "services[1].ports[1]", func(s *catalog.Service) {
			s.Ports = append(s.Ports, catalog.Port{Name: "http", Protocol: "tcp", Number: 81})
		}},
		"two ports, one unnamed": {catalog.CodePortInvalid, "services[1].ports[1]", func(s *catalog.Service) { s.Ports = append(s.Ports, catalog.Port{Protocol: "tcp", Number: 81}) }},
		"too many ports":         {catalog.CodeTooLarge, "services[1].ports", func(s *catalog.Service) { s.Ports = make([]catalog.Port, 65) }},
		"label without key":      {catalog.CodeLabelsInvalid, "services[1].labels", func(s *catalog.Service) { s.Labels[""] = "x" }},
		"labels of 4 KiB":        {catalog.CodeLabelsInvalid, "services[1].labels", func(s *catalog.Service) { s.Labels["x"] = strings.Repeat("x", 4096) }},
		"too many labels":        {catalog.CodeLabelsInvalid, "services[1].labels", func(s *catalog.Service) { s.Labels = labels(65) }},
		"command is too large":   {catalog.CodeTooLarge, "", func(s *catalog.Service) { s.Labels["x"] = strings.Repeat("x", 64<<10) }},
	} {
		t.Run(name, func(t *testing.T) {
			m := federationOfThree(t)
			s := testService("west", "web", "b", "10.2.0.2")
			c.edit(&s)
			r := m.refused(westGateway, catalog.NewPutServices([]catalog.Service{testService("west", "web", "a", "10.2.0.1"), s}), c.code)
			assert.Equal(t, c.field, r.Field)
			if c.code == catalog.CodeAddressForeign {
				assert.Contains(t, r.Remedy, "10.2.0.0/16")
			}
		})
	}
}

func labels(n int) map[string]string {
	all := make(map[string]string, n)
	for i := range n {
		all[fmt.Sprint("label", i)] = fmt.Sprint(i)
	}
	return all
}

func TestServiceAtTheLimitsIsAccepted(t *testing.T) {
	m := federationOfThree(t)
	s := testService("west", strings.Repeat("a", 63), "10.2.0.1:80", "10.2.0.1")
	s.Labels = labels(63)
	s.Owner = ""
	s.Ports = []catalog.Port{{Name: "dns", Protocol: "udp", Number: 65535}, {Name: "dns-tcp", Protocol: "tcp", Number: 65535}}
	m.must(westGateway, catalog.NewPutServices([]catalog.Service{s}))
	assert.Equal(t, westGateway, m.state.View().Services(replica.ServiceFilter{})[0].Owner)
}

func TestUnchangedServiceKeepsModifiedIndex(t *testing.T) {
	m := federationOfThree(t)
	put := func(version string) uint64 {
		s := testService("west", "web", "a", "10.2.0.1")
		s.Labels["version"] = version
		m.must(westGateway, catalog.NewPutServices([]catalog.Service{s}))
		return m.state.View().Services(replica.ServiceFilter{})[0].ModifiedIndex
	}
	first := put("1")
	assert.Equal(t, m.index, first)
	assert.Equal(t, first, put("1"))
	assert.Equal(t, first+2, put("2"))
}

func TestDeleteServicesIsLimitedToTheOwnDatacenter(t *testing.T) {
	m := federationOfThree(t)
	s := testService("west", "web", "a", "10.2.0.1")
	m.must(westGateway, catalog.NewPutServices([]catalog.Service{s}))
	m.refused(eastGateway, catalog.NewDeleteServices([]catalog.ServiceKey{s.ServiceKey}), catalog.CodeNotOwner)
	foreign := s.ServiceKey
	foreign.Datacenter = "east"
	m.refused(westGateway, catalog.NewDeleteServices([]catalog.ServiceKey{s.ServiceKey, foreign}), catalog.CodeNotOwner)
	m.must(westGateway, catalog.NewDeleteServices([]catalog.ServiceKey{s.ServiceKey}))
	assert.Empty(t, m.state.View().Services(replica.ServiceFilter{}))
	m.must(westGateway, catalog.NewDeleteServices([]catalog.ServiceKey{s.ServiceKey}))
}

func TestCallersCannotModifyTheState(t *testing.T) {
	m := federationOfThree(t)
	given := testService("west", "web", "a", "10.2.0.1")
	m.must(westGateway, catalog.NewPutServices([]catalog.Service{given}))
	before := encode(t, m.state.View())

	given.Labels["app"], given.Ports[0].Number = "altered", 1
	got := contents(m.state.View())
	got.Services[0].Labels["app"], got.Services[0].Ports[0].Number = "altered", 1
	got.Datacenters[0].CACertificate[0], got.Datacenters[0].Prefixes[0].Kind = 0, "altered"
	got.Gateways[0].Endpoints[0], got.Gateways[0].Controls[0] = "altered", "altered"
	assert.Equal(t, before, encode(t, m.state.View()))
}

func TestObservationsBelongToTheAuthor(t *testing.T) {
	m := federationOfThree(t)
	m.must(westGateway, catalog.NewPutObservations(observations(northGateway, eastGateway)))
	got := m.state.View().Observations()
	require.Len(t, got, 2)
	assert.Equal(t, catalog.Observation{
		Observer: westGateway, Peer: eastGateway, Endpoint: netip.MustParseAddrPort("198.51.100.7:4500"),
		At: m.now, ModifiedIndex: m.index,
	}, got[0])

	put := func(edit func(*catalog.Observation)) []catalog.Observation {
		list := observations(eastGateway, northGateway)
		edit(&list[1])
		return list
	}
	for name, c := range map[string]struct {
		code string
		edit func(*catalog.Observation)
	}{
		"observer is another gateway": {catalog.CodeNotOwner, func(o *catalog.Observation) { o.Observer = eastGateway }},
		"peer is unknown":             {catalog.CodeUnknownGateway, func(o *catalog.Observation) { o.Peer = "south/gw0" }},
		"peer is itself":              {catalog.CodeUnknownGateway, func(o *catalog.Observation) { o.Peer = westGateway }},
		"no endpoint":                 {catalog.CodeEndpointInvalid, func(o *catalog.Observation) { o.Endpoint = netip.AddrPort{} }},
		"no port":                     {catalog.CodeEndpointInvalid, func(o *catalog.Observation) { o.Endpoint = netip.MustParseAddrPort("1.2.3.4:0") }},
		"unspecified":                 {catalog.CodeEndpointInvalid, func(o *catalog.Observation) { o.Endpoint = netip.MustParseAddrPort("[::]:1") }},
	} {
		t.Run(name, func(t *testing.T) {
			m.t = t
			m.refused(westGateway, catalog.NewPutObservations(put(c.edit)), c.code)
		})
	}
}

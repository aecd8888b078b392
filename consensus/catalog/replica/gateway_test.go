package replica_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

func TestGatewayIDHasDatacenterAndName(t *testing.T) {
	for id, want := range map[catalog.GatewayID]struct {
		datacenter catalog.DatacenterName
		name       string
	}{
		"west/gw0":                         {"west", "gw0"},
		"west/gw0/eth0":                    {"west", "gw0/eth0"},
		"/gw0":                             {"", "gw0"},
		"west/":                            {"west", ""},
		"west":                             {"west", ""},
		"":                                 {"", ""},
		catalog.NewGatewayID("a-1", "b-2"): {"a-1", "b-2"},
	} {
		assert.Equal(t, want.datacenter, id.Datacenter(), "%q", id)
		assert.Equal(t, want.name, id.Name(), "%q", id)
	}
}

func TestGatewayGetsLowestFreeIndex(t *testing.T) {
	m := federationOfThree(t)
	add := func(name string) catalog.Gateway {
		return m.must(westGateway, catalog.NewAddGateway(testGateway("west", name))).Gateway
	}
	assert.EqualValues(t, 1, add("gw1").Index)
	assert.EqualValues(t, 2, add("gw2").Index)
	m.must("west/gw2", catalog.NewRemoveGateway("west/gw1"))
	g := add("gw3")
	assert.EqualValues(t, 1, g.Index)
	assert.Equal(t, netip.MustParseAddr("fd12:3456:789a:2::2"), g.Overlay)
}

func TestAddGatewayIsRefused(t *testing.T) {
	m := federationOfThree(t)
	m.refused(eastGateway, catalog.NewAddGateway(testGateway("west", "gw1")), catalog.CodeNotOwner)
	m.refused("west/gw1", catalog.NewAddGateway(testGateway("west", "gw2")), catalog.CodeUnknownAuthor)
	m.refused("west/gw1", catalog.NewAddGateway(testGateway("east", "gw1")), catalog.CodeUnknownAuthor)
	m.refused("south/gw1", catalog.NewAddGateway(testGateway("south", "gw1")), catalog.CodeUnknownAuthor)
	m.refused(westGateway, catalog.NewAddGateway(testGateway("west", "g.w")), catalog.CodeNameInvalid)
	sameKey := testGateway("west", "gw1")
	sameKey.PublicKey = testGateway("north", "gw0").PublicKey
	m.refused(westGateway, catalog.NewAddGateway(sameKey), catalog.CodePublicKeyTaken)
}

func TestGatewayOfAMemberAddsItself(t *testing.T) {
	m := federationOfThree(t)
	g := m.must("west/gw1", catalog.NewAddGateway(testGateway("west", "gw1"))).Gateway
	assert.EqualValues(t, 1, g.Index)
	m.must("west/gw1", catalog.NewUpdateGateway(testGateway("west", "gw1")))
}

func TestReturningGatewayKeepsIndexAndOverlayAddress(t *testing.T) {
	m := federationOfThree(t)
	before := m.must(westGateway, catalog.NewAddGateway(testGateway("west", "gw1"))).Gateway
	again := testGateway("west", "gw1")
	assert.Equal(t, before, m.must("west/gw1", catalog.NewAddGateway(again)).Gateway, "an equal record changes nothing")
	again.PublicKey[0]++
	after := m.must(westGateway, catalog.NewAddGateway(again)).Gateway
	assert.Equal(t, before.Index, after.Index)
	assert.Equal(t, before.Overlay, after.Overlay)
	assert.Equal(t, again.PublicKey, after.PublicKey)
	again.PublicKey = testGateway("west", "gw0").PublicKey
	m.refused(westGateway, catalog.NewAddGateway(again), catalog.CodePublicKeyTaken)
}

func TestLastGatewayCannotBeRemoved(t *testing.T) {
	m := federationOfThree(t)
	m.refused(westGateway, catalog.NewRemoveGateway(westGateway), catalog.CodeLastGateway)
	m.refused(westGateway, catalog.NewRemoveGateway(eastGateway), catalog.CodeNotOwner)
	m.refused(westGateway, catalog.NewRemoveGateway("west/gw9"), catalog.CodeUnknownGateway)
	m.refused(westGateway, catalog.NewRemoveGateway("west"), catalog.CodeUnknownGateway)
}

func TestRemovingAGatewayDeletesItsServicesAndObservations(t *testing.T) {
	m := federationOfThree(t)
	m.must(westGateway, catalog.NewAddGateway(testGateway("west", "gw1")))
	of1 := testService("west", "web", "b", "10.2.0.2")
	of1.Owner = "west/gw1"
	m.must(westGateway, catalog.NewPutServices([]catalog.Service{testService("west", "web", "a", "10.2.0.1"), of1}))
	m.must("west/gw1", catalog.NewPutObservations(observations(eastGateway)))
	m.must(eastGateway, catalog.NewPutObservations(observations("west/gw1", westGateway)))
	m.must(westGateway, catalog.NewRemoveGateway("west/gw1"))

	v := m.state.View()
	left := v.Services(replica.ServiceFilter{})
	assert.Len(t, left, 1)
	assert.Equal(t, westGateway, left[0].Owner)
	assert.Len(t, v.Observations(), 1)
}

func TestUpdateGatewayKeepsIndexAndOverlayAddress(t *testing.T) {
	m := federationOfThree(t)
	before, _ := m.state.View().Gateway(westGateway)
	want := before
	want.Index, want.Overlay = 7, netip.MustParseAddr("fd12:3456:789a:2::77")
	want.PublicKey = catalog.Key{1}
	want.Endpoints = []string{"gw.example.org:51820", "[2001:db8::1]:51820"}
	want.Controls, want.Version, want.Draining = nil, "v2", true
	got := m.must(westGateway, catalog.NewUpdateGateway(want)).Gateway

	want.Index, want.Overlay, want.ModifiedIndex = before.Index, before.Overlay, m.index
	assert.Equal(t, want, got)
	stored, _ := m.state.View().Gateway(westGateway)
	assert.Equal(t, want, stored)
	again := m.must(westGateway, catalog.NewUpdateGateway(want)).Gateway
	assert.Equal(t, stored.ModifiedIndex, again.ModifiedIndex, "nothing changed")
}

func TestUpdateGatewayIsRefused(t *testing.T) {
	m := federationOfThree(t)
	m.must(westGateway, catalog.NewAddGateway(testGateway("west", "gw1")))
	update := func(edit func(*catalog.Gateway)) *catalog.Gateway {
		g := testGateway("west", "gw0")
		edit(&g)
		return &g
	}
	for name, c := range map[string]struct {
		code string
		edit func(*catalog.Gateway)
	}{
		"another's gateway":         {catalog.CodeNotOwner, func(g *catalog.Gateway) { g.Datacenter = "east" }},
		"sibling":                   {catalog.CodeNotOwner, func(g *catalog.Gateway) { g.Name = "gw1" }},
		"zero key":                  {catalog.CodePublicKeyInvalid, func(g *catalog.Gateway) { g.PublicKey = catalog.Key{} }},
		"another's key":             {catalog.CodePublicKeyTaken, func(g *catalog.Gateway) { g.PublicKey = testGateway("east", "gw0").PublicKey }},
		"too many endpoints":        {catalog.CodeTooLarge, func(g *catalog.Gateway) { g.Endpoints = make([]string, 17) }},
		"endpoint without host":     {catalog.CodeEndpointInvalid, func(g *catalog.Gateway) { g.Endpoints = []string{":51820"} }},
		"endpoint unspecified":      {catalog.CodeEndpointInvalid, func(g *catalog.Gateway) { g.Endpoints = []string{"0.0.0.0:51820"} }},
		"endpoint is no valid IPv4": {catalog.CodeEndpointInvalid, func(g *catalog.Gateway) { g.Endpoints = []string{"192.0.2.256:51820"} }},
		"port too large":            {catalog.CodeEndpointInvalid, func(g *catalog.Gateway) { g.Endpoints = []string{"192.0.2.1:65536"} }},
		"endpoint with a zone":      {catalog.CodeEndpointInvalid, func(g *catalog.Gateway) { g.Endpoints = []string{"[fe80::1%eth0]:51820"} }},
		"version is too long":       {catalog.CodeVersionInvalid, func(g *catalog.Gateway) { g.Version = strings.Repeat("v", 65) }},
		"version is not printable":  {catalog.CodeVersionInvalid, func(g *catalog.Gateway) { g.Version = "\n" }},
	} {
		t.Run(name, func(t *testing.T) {
			m.t = t
			m.refused(westGateway, catalog.NewUpdateGateway(*update(c.edit)), c.code)
		})
	}
}

func TestSmallOverlayAssignsLowestFreeAddressUntilExhausted(t *testing.T) {
	for overlay, want := range map[string][]string{
		"10.99.0.0/29": {"10.99.0.1", "10.99.0.2", "10.99.0.3", "10.99.0.4", "10.99.0.5", "10.99.0.6"},
		"fd00::f8/125": {"fd00::f9", "fd00::fa", "fd00::fb", "fd00::fc", "fd00::fd", "fd00::fe", "fd00::ff"},
	} {
		t.Run(overlay, func(t *testing.T) {
			m := newMembers(t)
			got := []string{m.must(eastGateway, catalog.NewInit(testFederation(overlay),
				testDatacenter(t, "east", "10.1.0.0/16"), testGateway("east", "gw0"))).Gateway.Overlay.String()}
			for i := 1; i < len(want); i++ {
				g := m.must(eastGateway, catalog.NewAddGateway(testGateway("east", fmt.Sprintf("gw%d", i)))).Gateway
				got = append(got, g.Overlay.String())
			}
			assert.Equal(t, want, got)
			m.refused(eastGateway, catalog.NewAddGateway(testGateway("east", "more")), catalog.CodeOverlayExhausted)
			m.token("t1", "")
			m.refused(eastGateway, catalog.NewJoin(joinRequest(t, "t1", "west", "10.2.0.0/16")), catalog.CodeOverlayExhausted)
			m.must(eastGateway, catalog.NewRemoveGateway("east/gw2"))
			g := m.must(eastGateway, catalog.NewAddGateway(testGateway("east", "more"))).Gateway
			assert.Equal(t, want[2], g.Overlay.String())
		})
	}
}

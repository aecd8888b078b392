package replica_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

func TestInitCreatesFederationOfOneDatacenter(t *testing.T) {
	m := newMembers(t)
	result := m.must(eastGateway, catalog.NewInit(testFederation("fd12:3456:789a::/48"),
		testDatacenter(t, "east", "10.1.0.0/16"), testGateway("east", "gw0")))

	assert.Equal(t, netip.MustParseAddr("fd12:3456:789a:1::1"), result.Gateway.Overlay)
	assert.EqualValues(t, 1, result.Datacenter.Ordinal)
	assert.Equal(t, m.now, result.Datacenter.JoinedAt)
	v := m.state.View()
	f, ok := v.Federation()
	require.True(t, ok)
	assert.Equal(t, federationID, f.ID)
	assert.Equal(t, m.now, f.CreatedAt)
	assert.EqualValues(t, 2, f.NextOrdinal)
	assert.Equal(t, []catalog.Datacenter{result.Datacenter}, v.Datacenters())
	assert.Equal(t, []catalog.Gateway{result.Gateway}, v.Gateways())
	assert.Equal(t, m.index, v.Index())
}

func TestInitIsRefused(t *testing.T) {
	type parts struct {
		author catalog.GatewayID
		f      catalog.Federation
		dc     catalog.Datacenter
		g      catalog.Gateway
	}
	for name, c := range map[string]struct {
		code string
		edit func(*parts)
	}{
		"id is not a UUID":              {catalog.CodeFederationInvalid, func(p *parts) { p.f.ID = "demo" }},
		"name is not a label":           {catalog.CodeNameInvalid, func(p *parts) { p.f.Name = "de.mo" }},
		"no overlay":                    {catalog.CodeOverlayInvalid, func(p *parts) { p.f.Overlay = netip.Prefix{} }},
		"overlay has host bits":         {catalog.CodeOverlayInvalid, func(p *parts) { p.f.Overlay = netip.MustParsePrefix("fd00::1/48") }},
		"overlay is all addresses":      {catalog.CodeOverlayInvalid, func(p *parts) { p.f.Overlay = netip.MustParsePrefix("::/0") }},
		"overlay is too small":          {catalog.CodeOverlayInvalid, func(p *parts) { p.f.Overlay = netip.MustParsePrefix("10.9.0.0/30") }},
		"overlay is in the pods":        {catalog.CodePrefixOverlap, func(p *parts) { p.f.Overlay = netip.MustParsePrefix("10.1.3.0/24") }},
		"author is another gateway":     {catalog.CodeNotOwner, func(p *parts) { p.author = "east/gw1" }},
		"datacenter has a dot":          {catalog.CodeNameInvalid, func(p *parts) { p.dc.Name, p.g.Datacenter, p.author = "e.st", "e.st", "e.st/gw0" }},
		"gateway of another datacenter": {catalog.CodeMalformed, func(p *parts) { p.g.Datacenter = "west" }},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMembers(t)
			p := parts{eastGateway, testFederation("fd12::/48"), testDatacenter(t, "east", "10.1.0.0/16"), testGateway("east", "gw0")}
			c.edit(&p)
			m.refused(p.author, catalog.NewInit(p.f, p.dc, p.g), c.code)
		})
	}
}

func TestInitOfExistingFederationIsRefused(t *testing.T) {
	m := federationOfThree(t)
	for _, author := range []catalog.GatewayID{eastGateway, "south/gw0"} {
		m.refused(author, catalog.NewInit(testFederation("fd99::/48"),
			testDatacenter(t, "south", "10.4.0.0/16"), testGateway("south", "gw0")), catalog.CodeInitialized)
	}
}

func TestJoinUsesTokenAndStoresDatacenterAndGateway(t *testing.T) {
	m := newMembers(t)
	m.init()
	m.token("t1", "")
	m.wait(time.Minute)
	result := m.must(eastGateway, catalog.NewJoin(joinRequest(t, "t1", "west", "10.2.0.0/16")))

	assert.EqualValues(t, 2, result.Datacenter.Ordinal)
	assert.EqualValues(t, 0, result.Gateway.Index)
	assert.Equal(t, netip.MustParseAddr("fd12:3456:789a:2::1"), result.Gateway.Overlay)
	v := m.state.View()
	used, ok := v.Token("t1")
	require.True(t, ok)
	assert.Equal(t, catalog.DatacenterName("west"), used.UsedBy)
	assert.Equal(t, m.now, used.UsedAt)
	dc, ok := v.Datacenter("west")
	require.True(t, ok)
	assert.Equal(t, result.Datacenter, dc)
	g, ok := v.Gateway(westGateway)
	require.True(t, ok)
	assert.Equal(t, result.Gateway, g)
	assert.Equal(t, m.index, g.ModifiedIndex)
}

func TestJoinIsRefused(t *testing.T) {
	cidr := func(text string) func(*catalog.JoinRequest) {
		return func(r *catalog.JoinRequest) {
			r.Datacenter.Prefixes = prefixes(catalog.PodPrefix, "10.9.0.0/16", text)
		}
	}
	for name, c := range map[string]struct {
		code, field string
		edit        func(*catalog.JoinRequest)
	}{
		"other federation": {catalog.CodeFederationDiffers, "federation_id", func(r *catalog.JoinRequest) { r.FederationID = "x" }},
		"token unknown":    {catalog.CodeTokenUnknown, "token", func(r *catalog.JoinRequest) { r.TokenID = "t9" }},
		"secret wrong":     {catalog.CodeTokenSecret, "token", func(r *catalog.JoinRequest) { r.SecretHash[31] ^= 1 }},
		"token bound":      {catalog.CodeTokenBound, "token", func(r *catalog.JoinRequest) { r.TokenID, r.SecretHash = "bound", catalog.HashSecret([]byte("bound")) }},
		"token revoked": {catalog.CodeTokenRevoked, "token", func(r *catalog.JoinRequest) {
			r.TokenID, r.SecretHash = "revoked", catalog.HashSecret([]byte("revoked"))
		}},
		"token used": {catalog.CodeTokenUsed, "token", func(r *catalog.JoinRequest) {
			r.TokenID, r.SecretHash = "token-west", catalog.HashSecret([]byte("token-west"))
		}},
		"name taken":                 {catalog.CodeNameTaken, "datacenter", func(r *catalog.JoinRequest) { r.Datacenter.Name, r.Gateway.Datacenter = "west", "west" }},
		"name is not a label":        {catalog.CodeNameInvalid, "datacenter", func(r *catalog.JoinRequest) { r.Datacenter.Name, r.Gateway.Datacenter = "So", "So" }},
		"name empty":                 {catalog.CodeNameInvalid, "datacenter", func(r *catalog.JoinRequest) { r.Datacenter.Name, r.Gateway.Datacenter = "", "" }},
		"gateway is not a label":     {catalog.CodeNameInvalid, "gateway.name", func(r *catalog.JoinRequest) { r.Gateway.Name = "a/b" }},
		"prefix not canonical":       {catalog.CodePrefixInvalid, "prefixes[1]", cidr("10.4.0.1/16")},
		"prefix is all IPv4":         {catalog.CodePrefixInvalid, "prefixes[1]", cidr("0.0.0.0/0")},
		"prefix is all IPv6":         {catalog.CodePrefixInvalid, "prefixes[1]", cidr("::/0")},
		"half of IPv4":               {catalog.CodePrefixInvalid, "prefixes[1]", cidr("0.0.0.0/1")},
		"other half":                 {catalog.CodePrefixInvalid, "prefixes[1]", cidr("128.0.0.0/1")},
		"loopback":                   {catalog.CodePrefixInvalid, "prefixes[1]", cidr("127.1.0.0/16")},
		"mapped":                     {catalog.CodePrefixInvalid, "prefixes[1]", cidr("::ffff:10.4.0.0/112")},
		"repeated":                   {catalog.CodePrefixDuplicate, "prefixes[1]", cidr("10.9.0.0/16")},
		"same as another's":          {catalog.CodePrefixOverlap, "prefixes[1]", cidr("10.2.0.0/16")},
		"inside another's":           {catalog.CodePrefixOverlap, "prefixes[1]", cidr("10.2.200.0/24")},
		"around another's":           {catalog.CodePrefixOverlap, "prefixes[1]", cidr("10.0.0.0/13")},
		"inside in IPv6":             {catalog.CodePrefixOverlap, "prefixes[1]", cidr("fd00:3:0:0:1::/80")},
		"overlaps the overlay":       {catalog.CodePrefixOverlap, "prefixes[1]", cidr("fd12:3456::/32")},
		"certificate is not DER":     {catalog.CodeCertificate, "ca_certificate", func(r *catalog.JoinRequest) { r.Datacenter.CACertificate = []byte("x") }},
		"certificate missing":        {catalog.CodeCertificate, "ca_certificate", func(r *catalog.JoinRequest) { r.Datacenter.CACertificate = nil }},
		"certificate is not of a CA": {catalog.CodeCertificate, "ca_certificate", func(r *catalog.JoinRequest) { r.Datacenter.CACertificate = certificate(t, "south", false) }},
		"certificate another's": {catalog.CodeCertificateTaken, "ca_certificate", func(r *catalog.JoinRequest) {
			r.Datacenter.CACertificate = certificate(t, "west", true)
		}},
		"CA key another's": {catalog.CodeCertificateTaken, "ca_certificate", func(r *catalog.JoinRequest) {
			r.Datacenter.CACertificate = certificateWithKey(t, "west", "south", true)
		}},
		"key is zero":           {catalog.CodePublicKeyInvalid, "gateway.public_key", func(r *catalog.JoinRequest) { r.Gateway.PublicKey = catalog.Key{} }},
		"key is another's":      {catalog.CodePublicKeyTaken, "gateway.public_key", func(r *catalog.JoinRequest) { r.Gateway.PublicKey = testGateway("west", "gw0").PublicKey }},
		"endpoint without port": {catalog.CodeEndpointInvalid, "gateway.endpoints[0]", func(r *catalog.JoinRequest) { r.Gateway.Endpoints = []string{"192.0.2.1"} }},
		"control with port 0":   {catalog.CodeEndpointInvalid, "gateway.controls[0]", func(r *catalog.JoinRequest) { r.Gateway.Controls = []string{"gw.example.org:0"} }},
	} {
		t.Run(name, func(t *testing.T) {
			m := federationOfThree(t)
			m.token("t1", "")
			m.token("bound", "other")
			m.token("revoked", "")
			m.must(northGateway, catalog.NewRevokeToken("revoked"))
			r := joinRequest(t, "t1", "south", "10.4.0.0/16")
			c.edit(&r)
			assert.Equal(t, c.field, m.refused(eastGateway, catalog.NewJoin(r), c.code).Field)
		})
	}
}

func TestRepeatedJoinReturnsTheFirstResult(t *testing.T) {
	again := func(m *members, edit func(*catalog.JoinRequest)) *catalogpb.Command {
		r := joinRequest(t, "token-west", "west", "10.2.0.0/16")
		edit(&r)
		return m.sign(northGateway, catalog.NewJoin(r))
	}
	m := federationOfThree(t)
	before := contents(m.state.View())
	result := m.must(northGateway, again(m, func(*catalog.JoinRequest) {}))
	assert.Equal(t, before.Datacenters[2], result.Datacenter)
	assert.Equal(t, before.Gateways[2], result.Gateway)
	assert.Equal(t, before, contents(m.state.View()))

	for name, edit := range map[string]func(*catalog.JoinRequest){
		"another key":         func(r *catalog.JoinRequest) { r.Gateway.PublicKey[0]++ },
		"another gateway":     func(r *catalog.JoinRequest) { r.Gateway.Name = "gw1" },
		"another certificate": func(r *catalog.JoinRequest) { r.Datacenter.CACertificate = certificate(t, "x", true) },
		"another's token": func(r *catalog.JoinRequest) {
			r.TokenID, r.SecretHash = "token-north", catalog.HashSecret([]byte("token-north"))
		},
		"other prefixes": func(r *catalog.JoinRequest) { r.Datacenter.Prefixes = nil },
	} {
		t.Run(name, func(t *testing.T) {
			m.t = t
			m.refused(northGateway, again(m, edit), catalog.CodeTokenUsed)
		})
	}
	m.wait(time.Hour)
	m.refused(northGateway, again(m, func(*catalog.JoinRequest) {}), catalog.CodeTokenUsed)
}

func TestUsedTokenIsRefusedAfterLeaving(t *testing.T) {
	m := federationOfThree(t)
	m.must(westGateway, catalog.NewLeave("west"))
	m.refused(eastGateway, catalog.NewJoin(joinRequest(t, "token-west", "west", "10.2.0.0/16")), catalog.CodeTokenUsed)
}

func TestJoinByNonMemberIsRefused(t *testing.T) {
	m := federationOfThree(t)
	m.token("t1", "")
	m.refused("south/gw0", catalog.NewJoin(joinRequest(t, "t1", "south", "10.4.0.0/16")), catalog.CodeUnknownAuthor)
}

func TestJoinBeforeInitIsRefused(t *testing.T) {
	m := newMembers(t)
	m.refused(eastGateway, catalog.NewJoin(joinRequest(t, "t1", "south", "10.4.0.0/16")), catalog.CodeNotInitialized)
}

func TestExactlyOneOfTwoConflictingJoinsSucceeds(t *testing.T) {
	for name, c := range map[string]struct {
		code string
		edit func(a, b *catalog.JoinRequest)
	}{
		"same token": {catalog.CodeTokenUsed, func(a, b *catalog.JoinRequest) { b.TokenID, b.SecretHash = a.TokenID, a.SecretHash }},
		"same name": {catalog.CodeNameTaken, func(a, b *catalog.JoinRequest) {
			b.Datacenter.Name, b.Gateway.Datacenter = a.Datacenter.Name, a.Gateway.Datacenter
		}},
		"overlapping prefixes": {catalog.CodePrefixOverlap, func(_, b *catalog.JoinRequest) {
			b.Datacenter.Prefixes = prefixes(catalog.NodePrefix, "10.2.9.0/24")
		}},
	} {
		for _, order := range []string{"first", "second"} {
			for _, entries := range []string{"one entry", "two entries"} {
				t.Run(name+", "+order+" succeeds, "+entries, func(t *testing.T) {
					m := newMembers(t)
					m.init()
					m.token("t1", "")
					m.token("t2", "")
					a := joinRequest(t, "t1", "west", "10.2.0.0/16")
					b := joinRequest(t, "t2", "north", "10.3.0.0/16")
					c.edit(&a, &b)
					requests := []catalog.JoinRequest{a, b}
					if order == "second" {
						slices.Reverse(requests)
					}
					results := m.race(entries == "one entry", requests)
					require.Nil(t, results[0].Refusal)
					require.NotNil(t, results[1].Refusal)
					assert.Equal(t, c.code, results[1].Refusal.Code)
					assert.Len(t, m.state.View().Datacenters(), 2)
					dc, ok := m.state.View().Datacenter(requests[0].Datacenter.Name)
					require.True(t, ok)
					assert.Equal(t, requests[0].Datacenter.Prefixes, dc.Prefixes)
				})
			}
		}
	}
}

func (m *members) race(together bool, requests []catalog.JoinRequest) (results []catalog.Result) {
	m.t.Helper()
	var cmds []*catalogpb.Command
	for _, r := range requests {
		cmds = append(cmds, m.sign(eastGateway, catalog.NewJoin(r)))
	}
	if together {
		return m.entry(cmds...)
	}
	for _, cmd := range cmds {
		results = append(results, m.entry(cmd)...)
	}
	return results
}

func TestLeaveDeletesAllRecordsOfTheDatacenter(t *testing.T) {
	m := federationOfThree(t)
	m.must(westGateway, catalog.NewAddGateway(testGateway("west", "gw1")))
	m.must(westGateway, catalog.NewPutServices([]catalog.Service{testService("west", "web", "a", "10.2.0.1")}))
	m.must(eastGateway, catalog.NewPutServices([]catalog.Service{testService("east", "web", "a", "10.1.0.1")}))
	m.must(westGateway, catalog.NewPutObservations(observations(eastGateway)))
	m.must(eastGateway, catalog.NewPutObservations(observations(westGateway, "west/gw1", northGateway)))
	m.must(westGateway, catalog.NewCreateToken(catalog.Token{
		ID: "of-west", SecretHash: [32]byte{1}, ExpiresAt: m.now.Add(time.Hour),
	}))
	m.refused(eastGateway, catalog.NewLeave("west"), catalog.CodeNotOwner)
	m.refused(eastGateway, catalog.NewLeave("nowhere"), catalog.CodeNotOwner)
	m.must(westGateway, catalog.NewLeave("west"))

	v := m.state.View()
	_, ok := v.Datacenter("west")
	assert.False(t, ok)
	for _, g := range v.Gateways() {
		assert.NotEqual(t, catalog.DatacenterName("west"), g.Datacenter)
	}
	assert.Empty(t, v.Services(replica.ServiceFilter{Datacenter: "west"}))
	assert.Len(t, v.Services(replica.ServiceFilter{}), 1)
	require.Len(t, v.Observations(), 1)
	assert.Equal(t, northGateway, v.Observations()[0].Peer)
	_, ok = v.Token("of-west")
	assert.True(t, ok, "tokens belong to the federation")
	m.refused(westGateway, catalog.NewLeave("west"), catalog.CodeUnknownAuthor)
}

func TestJoinAfterLeavingAssignsNewOrdinal(t *testing.T) {
	m := federationOfThree(t)
	m.must(westGateway, catalog.NewLeave("west"))
	m.token("again", "")
	result := m.must(eastGateway, catalog.NewJoin(joinRequest(t, "again", "west", "10.2.0.0/16")))
	assert.EqualValues(t, 4, result.Datacenter.Ordinal)
	assert.Equal(t, netip.MustParseAddr("fd12:3456:789a:4::1"), result.Gateway.Overlay)
}

func TestCatalogIsEmptyAfterTheLastDatacenterLeft(t *testing.T) {
	m := newMembers(t)
	m.init()
	m.token("t1", "")
	m.must(eastGateway, catalog.NewLeave("east"))
	assert.Equal(t, viewContents{}, contents(m.state.View()))
	m.init()
}

func TestUpdateDatacenterChecksPrefixes(t *testing.T) {
	m := federationOfThree(t)
	update := func(cidrs ...string) *catalogpb.Command {
		return catalog.NewUpdateDatacenter(catalog.Datacenter{Name: "west", Prefixes: prefixes(catalog.PodPrefix, cidrs...)})
	}
	m.refused(eastGateway, update("10.7.0.0/16"), catalog.CodeNotOwner)
	m.refused(westGateway, update("10.7.0.0/16", "10.1.255.0/24"), catalog.CodePrefixOverlap)
	m.refused(westGateway, update("0.0.0.0/0"), catalog.CodePrefixInvalid)
	m.refused(westGateway, update("fd12:3456:789a:9::/64"), catalog.CodePrefixOverlap)
	before, _ := m.state.View().Datacenter("west")

	want := update("10.2.0.0/17", "10.2.0.0/24", "10.7.0.0/16")
	result := m.must(westGateway, want)
	after, _ := m.state.View().Datacenter("west")
	assert.Equal(t, result.Datacenter, after)
	assert.Len(t, after.Prefixes, 3)
	assert.Equal(t, before.CACertificate, after.CACertificate)
	assert.Equal(t, before.Ordinal, after.Ordinal)
	assert.Equal(t, m.index, after.ModifiedIndex)

	m.must(westGateway, want)
	again, _ := m.state.View().Datacenter("west")
	assert.Equal(t, after.ModifiedIndex, again.ModifiedIndex, "nothing changed")
}

func TestUpdateDatacenterKeepsCertificate(t *testing.T) {
	m := federationOfThree(t)
	dc, _ := m.state.View().Datacenter("west")
	m.must(westGateway, catalog.NewUpdateDatacenter(dc))
	dc.CACertificate = certificate(t, "new", true)
	m.refused(westGateway, catalog.NewUpdateDatacenter(dc), catalog.CodeCertificateFixed)
}

func TestUpdateDatacenterDeletesServicesOutsideItsPrefixes(t *testing.T) {
	m := federationOfThree(t)
	m.must(westGateway, catalog.NewPutServices([]catalog.Service{
		testService("west", "web", "a", "10.2.0.1"), testService("west", "web", "b", "10.2.200.1"),
	}))
	m.must(westGateway, catalog.NewUpdateDatacenter(catalog.Datacenter{
		Name: "west", Prefixes: prefixes(catalog.PodPrefix, "10.2.0.0/17"),
	}))
	left := m.state.View().Services(replica.ServiceFilter{})
	require.Len(t, left, 1)
	assert.Equal(t, "a", left[0].Instance)
}

func observations(peers ...catalog.GatewayID) (list []catalog.Observation) {
	for _, p := range peers {
		list = append(list, catalog.Observation{Peer: p, Endpoint: netip.MustParseAddrPort("198.51.100.7:4500")})
	}
	return list
}

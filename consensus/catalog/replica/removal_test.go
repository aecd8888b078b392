package replica_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// federationWithRecords is federationOfThree in which west has a record in every table.
func federationWithRecords(t *testing.T) *members {
	t.Helper()
	m := federationOfThree(t)
	m.must(westGateway, catalog.NewAddGateway(testGateway("west", "gw1")))
	m.must(westGateway, catalog.NewPutServices([]catalog.Service{testService("west", "web", "a", "10.2.0.1")}))
	m.must(westGateway, catalog.NewPutExports([]catalog.Export{testExport("west", "web")}))
	m.must(westGateway, catalog.NewPutEndpoints([]catalog.EndpointSlice{testSlice("west", "web", "web-1", "10.2.0.1")}))
	m.must(westGateway, catalog.NewPutObservations(observations(eastGateway)))
	m.must(eastGateway, catalog.NewPutObservations(observations(westGateway, "west/gw1")))
	return m
}

func TestRemovingADatacenterDeletesAllItsRecords(t *testing.T) {
	m := federationWithRecords(t)
	west, _ := m.state.View().Datacenter("west")
	result := m.must(eastGateway, catalog.NewRemoveDatacenter("west", false))

	assert.Equal(t, west, result.Datacenter, "the result contains the removed datacenter")
	left := contents(m.state.View())
	assert.Len(t, left.Datacenters, 2)
	assert.Len(t, left.Gateways, 2)
	assert.Empty(t, left.Services)
	assert.Empty(t, left.Exports)
	assert.Empty(t, left.Endpoints)
	assert.Empty(t, left.Observations)
}

func TestNameAndPrefixesOfARemovedDatacenterCanBeReused(t *testing.T) {
	m := federationWithRecords(t)
	m.must(northGateway, catalog.NewRemoveDatacenter("west", true))
	m.token("again", "")
	again := joinRequest(t, "again", "west", "10.2.0.0/16")
	again.Datacenter.CACertificate = certificate(t, "the new west", true)
	result := m.must(eastGateway, catalog.NewJoin(again))
	assert.EqualValues(t, 4, result.Datacenter.Ordinal, "ordinals are not assigned again before all others")
	assert.Equal(t, "10.2.0.0/16", result.Datacenter.Prefixes[0].CIDR.String())
}

func TestRemovedDatacenterCannotWrite(t *testing.T) {
	m := federationWithRecords(t)
	m.must(eastGateway, catalog.NewRemoveDatacenter("west", false))
	for name, cmd := range map[string]*catalogpb.Command{
		"services":       catalog.NewPutServices([]catalog.Service{testService("west", "web", "a", "10.2.0.1")}),
		"a token":        catalog.NewCreateToken(catalog.Token{ID: "x", SecretHash: [32]byte{1}, ExpiresAt: m.now.Add(time.Hour)}),
		"add itself":     catalog.NewAddGateway(testGateway("west", "gw0")),
		"remove another": catalog.NewRemoveDatacenter("east", true),
		"leave":          catalog.NewLeave("west"),
	} {
		t.Run(name, func(t *testing.T) { m.refused(westGateway, cmd, catalog.CodeUnknownAuthor) })
	}
}

func TestRemovingADatacenterIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		author catalog.GatewayID
		dc     catalog.DatacenterName
		code   string
		remedy string
	}{
		"own datacenter":         {eastGateway, "east", catalog.CodeOwnDatacenter, "meshctl leave"},
		"unknown datacenter":     {eastGateway, "nowhere", catalog.CodeUnknownDatacenter, "meshctl members"},
		"no name":                {eastGateway, "", catalog.CodeUnknownDatacenter, "meshctl members"},
		"author is not a member": {"south/gw0", "west", catalog.CodeUnknownAuthor, "meshctl join"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, force := range []bool{false, true} {
				refusal := federationWithRecords(t).refused(c.author, catalog.NewRemoveDatacenter(c.dc, force), c.code)
				assert.Contains(t, refusal.Remedy, c.remedy)
			}
		})
	}
}

func TestRemovingADatacenterRevokesItsTokens(t *testing.T) {
	m := federationWithRecords(t)
	for _, author := range []catalog.GatewayID{westGateway, eastGateway} {
		m.must(author, catalog.NewCreateToken(catalog.Token{
			ID: "of-" + string(author[:4]), SecretHash: catalog.HashSecret([]byte("of-" + string(author[:4]))), ExpiresAt: m.now.Add(time.Hour),
		}))
	}
	m.must(eastGateway, catalog.NewRemoveDatacenter("west", false))
	m.refused(eastGateway, catalog.NewJoin(joinRequest(t, "of-west", "west", "10.2.0.0/16")), catalog.CodeTokenRevoked)
	used, ok := m.state.View().Token("token-north")
	require.True(t, ok)
	assert.False(t, used.Revoked, "a used token is not revoked")
	m.must(eastGateway, catalog.NewJoin(joinRequest(t, "of-east", "west", "10.2.0.0/16")))
}

func TestRemoveDatacenterIsNotIgnorable(t *testing.T) {
	cmd := catalog.NewRemoveDatacenter("west", false)
	assert.False(t, cmd.GetIgnorable(), "a member that skipped the command would still trust the removed datacenter")
	assert.EqualValues(t, 1, cmd.GetVersion(), "a new kind of command does not raise the version")
}

package replica_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// upgraded is federationOfThree with gateways of this build.
func upgraded(t testing.TB) *members {
	t.Helper()
	m := federationOfThree(t)
	for _, id := range []catalog.GatewayID{eastGateway, westGateway, northGateway} {
		m.must(id, catalog.NewUpdateGateway(current(id)))
	}
	return m
}

// current returns the record of a gateway of this build.
func current(id catalog.GatewayID) catalog.Gateway {
	g := testGateway(string(id.Datacenter()), id.Name())
	g.FeatureLevel = catalog.Level
	return g
}

func ranges(cidrs ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, c := range cidrs {
		list = append(list, netip.MustParsePrefix(c))
	}
	return list
}

// announce returns the verdict on the prefixes of west.
func (m *members) announce(cidrs ...string) replica.Verdict {
	m.t.Helper()
	return m.judge(m.sign(westGateway, catalog.NewUpdateDatacenter(testDatacenter(m.t, "west", cidrs...))))[0]
}

// The endpoint of west's gateway is 192.0.2.1.
func TestNodesInTheNetworkOfAGatewayNeedNoPermission(t *testing.T) {
	m := upgraded(t)
	announce := func(kind catalog.PrefixKind, cidr string) replica.Verdict {
		dc := testDatacenter(t, "west", "10.2.0.0/16")
		dc.Prefixes = append(dc.Prefixes, catalog.Prefix{CIDR: netip.MustParsePrefix(cidr), Kind: kind})
		return m.judge(m.sign(westGateway, catalog.NewUpdateDatacenter(dc)))[0]
	}
	for _, near := range []string{"192.0.2.0/24", "192.0.2.64/29", "192.0.2.200/32"} {
		assert.NotNil(t, announce(catalog.NodePrefix, near).Command, near)
		m.notWritten(announce(catalog.PodPrefix, near), catalog.CodePrefixNotAllowed)
	}
	for _, far := range []string{"192.0.2.0/23", "192.0.3.1/32", "2001:db8::/64"} {
		m.notWritten(announce(catalog.NodePrefix, far), catalog.CodePrefixNotAllowed)
	}
}

func TestLeaderRefusesPrefixesThatAreNeitherPrivateNorAllowedByAnotherDatacenter(t *testing.T) {
	m := upgraded(t)
	for _, private := range []string{"10.9.0.0/16", "172.20.0.0/16", "192.168.0.0/16", "100.64.0.0/10", "fd00:9::/64"} {
		require.NotNil(t, m.announce(private).Command, private)
	}
	for public, code := range map[string]string{
		"203.0.113.0/24": catalog.CodePrefixNotAllowed, "11.0.0.0/8": catalog.CodePrefixNotAllowed,
		"172.32.0.0/16": catalog.CodePrefixNotAllowed, "2001:db8::/64": catalog.CodePrefixNotAllowed,
		"12.0.0.0/7": catalog.CodePrefixInvalid, "3000::/8": catalog.CodePrefixInvalid,
	} {
		assert.Equal(t, "prefixes[1]", m.notWritten(m.announce("10.2.0.0/16", public), code).Field, public)
	}

	m.must(westGateway, catalog.NewAllowPrefixes(ranges("203.0.113.0/24")))
	m.notWritten(m.announce("203.0.113.0/25"), catalog.CodePrefixNotAllowed) // by itself only
	m.must(eastGateway, catalog.NewAllowPrefixes(ranges("203.0.113.0/24")))
	require.NotNil(t, m.announce("203.0.113.0/25").Command)
	m.notWritten(m.announce("203.0.112.0/23"), catalog.CodePrefixNotAllowed)

	m.token("token-south", "")
	south := joinRequest(t, "token-south", "south", "198.51.100.0/24")
	south.Gateway.FeatureLevel = catalog.Level
	m.notWritten(m.judge(m.sign(eastGateway, catalog.NewJoin(south)))[0], catalog.CodePrefixNotAllowed)
	m.must(northGateway, catalog.NewAllowPrefixes(ranges("198.51.100.0/24")))
	require.NotNil(t, m.judge(m.sign(eastGateway, catalog.NewJoin(south)))[0].Command)
}

func TestPrefixesThatADatacenterHasStayAllowed(t *testing.T) {
	m := federationOfThree(t) // of earlier builds
	update := testDatacenter(t, "west", "203.0.113.0/24")
	require.NotNil(t, m.announce("203.0.113.0/24").Command, "a gateway of an earlier build cannot allow it")
	m.must(westGateway, catalog.NewUpdateDatacenter(update))
	for _, id := range []catalog.GatewayID{eastGateway, westGateway, northGateway} {
		m.must(id, catalog.NewUpdateGateway(current(id)))
	}
	require.NotNil(t, m.announce("203.0.113.0/24", "10.2.0.0/16").Command)
	m.notWritten(m.announce("203.0.113.0/24", "203.0.112.0/24"), catalog.CodePrefixNotAllowed)
}

// A hostile member states the level of a build without allowed ranges.
func TestDatacenterTakesNoForeignRangesByStatingALowLevel(t *testing.T) {
	m := upgraded(t)
	m.notWritten(m.announce("203.0.113.0/24"), catalog.CodePrefixNotAllowed)
	low := current(westGateway)
	low.FeatureLevel = catalog.LevelAllowed - 1
	m.must(westGateway, catalog.NewUpdateGateway(low))
	m.notWritten(m.announce("203.0.113.0/24"), catalog.CodePrefixNotAllowed)
	low = current(northGateway)
	low.FeatureLevel = catalog.LevelAllowed - 1
	m.must(northGateway, catalog.NewUpdateGateway(low))
	require.NotNil(t, m.announce("203.0.113.0/24").Command, "no other datacenter can allow it")
}

func TestOnlyDatacenterOfAFederationMayAnnounceAnyPrefix(t *testing.T) {
	m := newMembers(t)
	m.must(eastGateway, catalog.NewInit(testFederation("fd12:3456:789a::/48"), testDatacenter(t, "east", "203.0.113.0/24"), current(eastGateway)))
	v := m.judge(m.sign(eastGateway, catalog.NewUpdateDatacenter(testDatacenter(t, "east", "198.51.100.0/24"))))[0]
	require.NotNil(t, v.Command)
}

func TestDatacenterAllowsABoundedNumberOfValidRanges(t *testing.T) {
	m := upgraded(t)
	for range 2 { // the same ranges again change nothing
		for i := range catalog.MaxAllowedPrefixes {
			m.must(westGateway, catalog.NewAllowPrefixes(ranges(fmt.Sprintf("203.0.%d.0/24", i))))
		}
	}
	require.Len(t, m.state.View().Settings().Allowed, catalog.MaxAllowedPrefixes)
	m.refused(westGateway, catalog.NewAllowPrefixes(ranges("198.51.100.0/24")), catalog.CodePrefixLimit)
	m.must(eastGateway, catalog.NewAllowPrefixes(ranges("198.51.100.0/24")))
	for _, bad := range []string{"0.0.0.0/0", "127.0.0.0/8", "203.0.113.1/24", "4.0.0.0/6", "2000::/3"} {
		assert.Equal(t, "cidrs[0]", m.refused(eastGateway, catalog.NewAllowPrefixes(ranges(bad)), catalog.CodePrefixInvalid).Field)
	}
	m.refused(eastGateway, &catalogpb.Command{Version: 3, Body: &catalogpb.Command_AllowPrefixes{
		AllowPrefixes: &catalogpb.AllowPrefixes{Cidrs: []string{"x"}},
	}}, catalog.CodePrefixInvalid)
}

func TestRangesOfADatacenterThatLeavesAreAllowedNoLonger(t *testing.T) {
	m := upgraded(t)
	m.must(eastGateway, catalog.NewAllowPrefixes(ranges("203.0.113.0/24")))
	m.must(northGateway, catalog.NewAllowPrefixes(ranges("198.51.100.0/24")))
	m.must(northGateway, catalog.NewLeave("north"))
	assert.Equal(t, []catalog.AllowedPrefix{{CIDR: netip.MustParsePrefix("203.0.113.0/24"), AllowedBy: "east"}}, m.state.View().Settings().Allowed)
	m.must(westGateway, catalog.NewLeave("west"))
	m.must(eastGateway, catalog.NewLeave("east"))
	assert.Equal(t, catalog.Settings{}, m.state.View().Settings())
}

func TestDatacenterRemovesOnlyRangesThatItAllows(t *testing.T) {
	m := upgraded(t)
	m.must(eastGateway, catalog.NewAllowPrefixes(ranges("203.0.113.0/24")))
	m.must(northGateway, catalog.NewAllowPrefixes(ranges("203.0.113.0/24", "198.51.100.0/24")))
	m.must(northGateway, catalog.NewDisallowPrefixes(ranges("203.0.113.0/24", "192.0.2.0/24")))
	assert.Equal(t, []catalog.AllowedPrefix{
		{CIDR: netip.MustParsePrefix("198.51.100.0/24"), AllowedBy: "north"},
		{CIDR: netip.MustParsePrefix("203.0.113.0/24"), AllowedBy: "east"},
	}, m.state.View().Settings().Allowed)
	m.refused("west/unknown", catalog.NewDisallowPrefixes(ranges("203.0.113.0/24")), catalog.CodeUnknownAuthor)
}

func TestRangesAreNotRemovedByACommandThatOtherBuildsReadWithoutThem(t *testing.T) {
	m := upgraded(t)
	m.must(eastGateway, catalog.NewAllowPrefixes(ranges("203.0.113.0/24")))
	forged := catalog.NewDisallowPrefixes(ranges("203.0.113.0/24"))
	forged.Version = catalog.LevelAllowed
	m.must(eastGateway, forged)
	assert.Len(t, m.state.View().Settings().Allowed, 1)
}

func TestSettingsAreInSnapshots(t *testing.T) {
	m := upgraded(t)
	m.must(eastGateway, catalog.NewAllowPrefixes(ranges("203.0.113.0/24", "2001:db8::/32")))
	restored, err := replica.Decode(bytes.NewReader(encode(t, m.state.View())))
	require.NoError(t, err)
	require.Len(t, restored.View().Settings().Allowed, 2)
	assert.Equal(t, m.state.View().Settings(), restored.View().Settings())
}

func TestGatewayBelowTheLevelInUseIsRefused(t *testing.T) {
	m := upgraded(t)
	old := testGateway("west", "gw1")
	require.NotNil(t, m.judge(m.sign(westGateway, catalog.NewAddGateway(old)))[0].Command, "the level is not in use yet")
	m.must(eastGateway, catalog.NewAllowPrefixes(ranges("203.0.113.0/24")))
	m.token("token-south", "")
	for _, cmd := range []*catalogpb.Command{
		m.sign(westGateway, catalog.NewAddGateway(old)),
		m.sign(westGateway, catalog.NewUpdateGateway(testGateway("west", "gw0"))),
		m.sign(eastGateway, catalog.NewJoin(joinRequest(t, "token-south", "south", "10.8.0.0/16"))),
	} {
		m.notWritten(m.judge(cmd)[0], catalog.CodeFeatureLevel)
	}
	old.FeatureLevel = catalog.Level
	require.NotNil(t, m.judge(m.sign(westGateway, catalog.NewAddGateway(old)))[0].Command)
}

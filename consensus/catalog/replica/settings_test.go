package replica_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/budget"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/quota"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/catalog/sponsor"
)

func limit(resource string, most uint64) []catalog.Limit {
	return []catalog.Limit{{Resource: resource, Most: most}}
}

func TestLimitsAreRaisedByAnotherDatacenterWhileItIsAMember(t *testing.T) {
	m := upgraded(t)
	gateways := func(n int) (list []catalog.Gateway) {
		for i := range n {
			list = append(list, current(catalog.NewGatewayID("west", fmt.Sprint("gw", i+1))))
		}
		return list
	}
	standard := quota.DefaultLimits().Gateways
	for _, g := range gateways(standard - 1) {
		m.must(westGateway, catalog.NewAddGateway(g))
	}
	add := func() replica.Verdict {
		return m.judge(m.sign(westGateway, catalog.NewAddGateway(gateways(standard)[standard-1])))[0]
	}
	m.notWritten(add(), catalog.CodeQuota)
	m.must(westGateway, catalog.NewSetLimits(limit("gateways", 63)))
	m.notWritten(add(), catalog.CodeQuota) // by itself
	m.must(eastGateway, catalog.NewSetLimits(limit("gateways", 63)))
	require.NotNil(t, add().Command)
	m.must(northGateway, catalog.NewSetLimits(limit("gateways", 62)))
	m.must(eastGateway, catalog.NewSetLimits(limit("gateways", 0)))
	require.NotNil(t, add().Command)
	m.must(northGateway, catalog.NewLeave("north"))
	assert.Contains(t, m.notWritten(add(), catalog.CodeQuota).Message, "maximum is 60", "what a datacenter has set ends with it")
}

func TestLimitsAreNotSetWhileAGatewayDoesNotSupportIt(t *testing.T) {
	m := upgraded(t)
	old := testGateway("north", "gw0")
	old.FeatureLevel = catalog.LevelLimits - 1
	m.must(northGateway, catalog.NewUpdateGateway(old))
	set := catalog.NewSetLimits(limit("services", 20_000))
	assert.Contains(t, m.notWritten(m.judge(m.sign(eastGateway, set))[0], catalog.CodeFeatureLevel).Message, "north/gw0")
	record := consensus.OperationCommand(consensus.LeaderOperation{Kind: consensus.TransferLeadership, Target: eastGateway})
	m.notWritten(m.judge(m.sign(eastGateway, record))[0], catalog.CodeFeatureLevel)
	removal := m.judge(m.sign(eastGateway, catalog.NewRemoveDatacenter("west", false)))[0]
	assert.EqualValues(t, 1, removal.Command.GetVersion(), "north applies it")

	old.FeatureLevel = catalog.Level
	m.must(northGateway, catalog.NewUpdateGateway(old))
	require.NotNil(t, m.judge(m.sign(eastGateway, set))[0].Command)
	removal = m.judge(m.sign(eastGateway, catalog.NewRemoveDatacenter("west", false)))[0]
	assert.EqualValues(t, catalog.LevelLimits, removal.Command.GetVersion())
}

func TestCatalogHasWhatADatacenterUsedUpOfItsRequests(t *testing.T) {
	m := upgraded(t)
	until := func(kind budget.Kind) bool {
		restored, err := replica.Decode(bytes.NewReader(encode(t, m.state.View())))
		require.NoError(t, err)
		require.Equal(t, m.state.View().Settings(), restored.View().Settings())
		return kind.Allows(budget.Until(restored.View().Settings(), kind, "east"), m.now)
	}
	for i := range budget.Operations.Burst() {
		require.True(t, until(budget.Operations), i)
		m.must(eastGateway, consensus.OperationCommand(consensus.LeaderOperation{Kind: consensus.RemoveMember, Target: westGateway}))
	}
	assert.False(t, until(budget.Operations))
	require.True(t, until(budget.Removals))
	for _, dc := range []catalog.DatacenterName{"west", "north"} {
		m.must(eastGateway, m.judge(m.sign(eastGateway, catalog.NewRemoveDatacenter(dc, false)))[0].Command)
	}
	assert.Equal(t, m.now.Add(2*budget.Removals.Interval()), budget.Until(m.state.View().Settings(), budget.Removals, "east"))
}

func TestFirstRequestToRemoveADatacenterIsKeptWhileItWaits(t *testing.T) {
	m := upgraded(t)
	requested := func() catalog.DatacenterName {
		restored, err := replica.Decode(bytes.NewReader(encode(t, m.state.View())))
		require.NoError(t, err)
		require.Equal(t, m.state.View().Settings(), restored.View().Settings())
		return budget.Requested(restored.View().Settings(), "north", m.now)
	}
	request := func(by catalog.GatewayID, of catalog.DatacenterName) replica.Verdict {
		return m.judge(m.sign(by, catalog.NewRequestRemoval(of)))[0]
	}
	require.Empty(t, requested())
	m.notWritten(request(northGateway, "north"), catalog.CodeOwnDatacenter)
	m.notWritten(request(northGateway, "nowhere"), catalog.CodeUnknownDatacenter)
	m.must(eastGateway, catalog.NewRequestRemoval("north"))
	assert.EqualValues(t, "east", requested())
	require.Nil(t, request(eastGateway, "north").Command, "a repeated request writes nothing")
	require.Nil(t, request(westGateway, "north").Command, "the first one stays")
	assert.Empty(t, budget.Requested(m.state.View().Settings(), "west", m.now))

	m.now = m.now.Add(budget.ConfirmationTime - time.Second)
	assert.EqualValues(t, "east", requested())
	m.must(eastGateway, catalog.NewRequestRemoval("north"))
	m.now = m.now.Add(budget.ConfirmationTime - time.Second)
	assert.EqualValues(t, "east", requested(), "the later of two requests counts")
	m.now = m.now.Add(time.Second)
	assert.Empty(t, requested())
	m.must(westGateway, catalog.NewRequestRemoval("east"))
	assert.Len(t, m.state.View().Settings().Removals, 1, "one that waits no longer is dropped")
	m.must(westGateway, catalog.NewRequestRemoval("north"))
	assert.EqualValues(t, "west", requested())

	m.must(eastGateway, catalog.NewRemoveDatacenter("west", true))
	assert.Empty(t, m.state.View().Settings().Removals, "what a datacenter requested ends with it")
	m.must(eastGateway, catalog.NewRequestRemoval("north"))
	m.must(northGateway, catalog.NewLeave("north"))
	assert.Empty(t, m.state.View().Settings().Removals, "a datacenter that joins again is not removed by an earlier request")
}

// A leader's clock may differ from that of the one before.
func TestRequestToRemoveOfTheFutureDoesNotWaitForLonger(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := budget.Request(catalog.Settings{}, "north", "east", now)
	assert.EqualValues(t, "east", budget.Requested(s, "north", now.Add(-catalog.MaxClockSkew)))
	assert.Empty(t, budget.Requested(s, "north", now.Add(-catalog.MaxClockSkew-1)))
}

// The settings are one record: of all members, with the most that each may set.
func TestLargestSettingsAreKeptBySnapshots(t *testing.T) {
	m := upgraded(t)
	var s catalog.Settings
	const datacenters = 1024
	for i := range datacenters {
		name := catalog.DatacenterName(fmt.Sprintf("%04d", i) + strings.Repeat("n", 59))
		var set []catalog.Limit
		for _, l := range quota.DefaultLimits().Settings(catalog.Settings{}, sponsor.Sponsors{}, name)[:4] {
			set = append(set, catalog.Limit{Resource: l.Resource, Most: uint64(l.Highest)})
		}
		var r *catalog.Refusal
		s, r = quota.Set(s, name, set)
		require.Nil(t, r)
		s = budget.Request(s, name, "east", m.now)
		s = budget.Spend(budget.Spend(s, budget.Operations, name, m.now), budget.Removals, name, m.now)
		for j := range catalog.MaxAllowedPrefixes {
			s.Allowed = append(s.Allowed, catalog.AllowedPrefix{CIDR: ranges(fmt.Sprintf("2001:db8:%x:%x::/127", i, j))[0], AllowedBy: name})
		}
	}
	assert.Less(t, proto.Size(s.Proto()), catalog.MaxRecordSize/4)
	again, err := catalog.SettingsFromProto(s.Proto())
	require.NoError(t, err)
	assert.Equal(t, s, again)
}

func TestDatacentersTogetherAllowABoundedNumberOfRanges(t *testing.T) {
	m := upgraded(t)
	allowed := func(n int) func([]*catalogpb.Record) []*catalogpb.Record {
		return func(records []*catalogpb.Record) []*catalogpb.Record {
			settings := &catalogpb.Settings{}
			for i := range n {
				settings.Allowed = append(settings.Allowed, &catalogpb.AllowedPrefix{
					Cidr: fmt.Sprintf("203.%d.%d.0/24", i/256, i%256), AllowedBy: fmt.Sprint("dc", i/64),
				})
			}
			record := &catalogpb.Record{Body: &catalogpb.Record_Settings{Settings: settings}}
			records = slices.DeleteFunc(records, func(r *catalogpb.Record) bool { return r.GetSettings() != nil })
			at := slices.IndexFunc(records, func(r *catalogpb.Record) bool { return r.GetFederation() != nil })
			return slices.Insert(records, at+1, record)
		}
	}
	restore := func(n int) {
		require.NoError(t, m.state.Restore(bytes.NewReader(reencode(t, encode(t, m.state.View()), allowed(n)))))
	}
	const most = 256 * catalog.MaxAllowedPrefixes
	allow := func(count int) replica.Verdict {
		var ranges []netip.Prefix
		for i := range count {
			ranges = append(ranges, netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, byte(i), 0}), 24))
		}
		return m.judge(m.sign(eastGateway, catalog.NewAllowPrefixes(ranges)))[0]
	}
	restore(most - 2)
	require.NotNil(t, allow(2).Command)
	refusal := m.notWritten(allow(3), catalog.CodePrefixLimit)
	assert.Equal(t, "the datacenters would allow 16385 ranges together, the maximum is 16384", refusal.Message)
	restore(most + 100) // by an earlier build
	m.notWritten(allow(1), catalog.CodePrefixLimit)
	require.NotNil(t, m.judge(m.sign(eastGateway, catalog.NewSetLimits(limit("gateways", 63))))[0].Command, "other settings can be changed")
}

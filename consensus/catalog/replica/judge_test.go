package replica_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/quota"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

func (m *members) judge(cmds ...*catalogpb.Command) []replica.Verdict {
	return m.judgeBy(quota.DefaultLimits(), cmds...)
}

func (m *members) judgeBy(limits quota.Limits, cmds ...*catalogpb.Command) []replica.Verdict {
	m.t.Helper()
	before := encode(m.t, m.state.View())
	verdicts := m.state.Judge(cmds, limits, m.now)
	require.Len(m.t, verdicts, len(cmds))
	require.Equal(m.t, before, encode(m.t, m.state.View()), "a verdict changes nothing")
	return verdicts
}

// notWritten requires that a command is refused with code before it is in the log.
func (m *members) notWritten(v replica.Verdict, code string) *catalog.Refusal {
	m.t.Helper()
	require.Nil(m.t, v.Command)
	require.NotNil(m.t, v.Result.Refusal)
	require.Equal(m.t, code, v.Result.Refusal.Code)
	require.NotEmpty(m.t, v.Result.Refusal.Message)
	require.NotEmpty(m.t, v.Result.Refusal.Remedy)
	return v.Result.Refusal
}

func TestLeaderDoesNotWriteCommandsThatWouldStopMembers(t *testing.T) {
	m := federationOfThree(t)
	good := func() *catalogpb.Command { return m.sign(westGateway, catalog.NewLeave("west")) }
	require.NotNil(t, m.judge(good())[0].Command)
	newer, ahead, behind := good(), good(), good()
	newer.Version = catalog.Level + 1
	ahead.At.Seconds += 601
	behind.At.Seconds -= 601
	badCA := joinRequest(t, "t1", "south")
	badCA.Datacenter.CACertificate = nil
	for code, cmd := range map[string]*catalogpb.Command{
		catalog.CodeUnknownCommand: newer,
		catalog.CodeClockAhead:     ahead,
		catalog.CodeClockBehind:    behind,
		catalog.CodeMalformed:      catalog.NewLeave("west"),
		catalog.CodeCertificate:    m.sign(westGateway, catalog.NewJoin(badCA)),
		catalog.CodeTooLarge:       m.sign(westGateway, catalog.NewRevokeToken(string(bytes.Repeat([]byte("x"), 64<<10)))),
	} {
		m.notWritten(m.judge(cmd)[0], code)
	}
	newer.Ignorable = true
	m.notWritten(m.judge(newer)[0], catalog.CodeUnknownCommand)
}

func TestLeaderAnswersARetryFromTheStoredResult(t *testing.T) {
	m := federationOfThree(t)
	want := m.version(westGateway, 1, 0, "v1")
	g := testGateway("west", "gw0")
	g.Version = "v1"
	v := m.judge(m.numbered(westGateway, 1, 0, catalog.NewUpdateGateway(g)))[0]
	assert.Nil(t, v.Command)
	assert.Equal(t, want, v.Result)
}

func TestLeaderWritesNeitherRefusedCommandsNorThoseThatChangeNothing(t *testing.T) {
	m := populated(t)
	m.notWritten(m.judge(m.sign(westGateway, catalog.NewRevokeToken("none")))[0], catalog.CodeTokenUnknown)
	same := m.judge(m.sign(westGateway, catalog.NewPutExports([]catalog.Export{testExport("west", "web")})))[0]
	assert.Nil(t, same.Command)
	assert.Equal(t, catalog.Result{Index: m.index}, same.Result)
}

// The verdict on a command is of the state that the leader has: it is not certain
// that a command before it in the entry will be applied as it is judged.
func TestLeaderWritesWhatFollowsACommandThatChangesTheCatalog(t *testing.T) {
	m := populated(t)
	change := m.sign(westGateway, catalog.NewPutServices([]catalog.Service{testService("west", "new", "a", "10.2.0.1")}))
	refused := m.sign(westGateway, catalog.NewRevokeToken("none"))
	same := m.sign(westGateway, catalog.NewPutExports([]catalog.Export{testExport("west", "web")}))
	verdicts := m.judge(refused, same, change, refused, same)
	for i, written := range []bool{false, false, true, true, true} {
		assert.Equal(t, written, verdicts[i].Command != nil, "command %d", i)
	}
}

func TestDatacenterCannotExceedItsLimits(t *testing.T) {
	service := func(i int) catalog.Service { return testService("west", "web", fmt.Sprint("i", i), "10.2.0.1") }
	small := quota.Limits{
		Gateways: 2, Prefixes: 2, Services: 2, Exports: 2, Slices: 2, Endpoints: 3, Observations: 1, Tokens: 1, Clients: 1,
		Memory: 1 << 20,
	}
	type list = []*catalogpb.Command
	for field, c := range map[string]struct {
		within, beyond list
	}{
		"gateways": {list{catalog.NewAddGateway(testGateway("west", "gw1"))}, list{catalog.NewAddGateway(testGateway("west", "gw2"))}},
		"prefixes": {
			list{catalog.NewUpdateDatacenter(testDatacenter(t, "west", "10.2.0.0/16", "10.4.0.0/16"))},
			list{catalog.NewUpdateDatacenter(testDatacenter(t, "west", "10.2.0.0/16", "10.4.0.0/16", "10.5.0.0/16"))},
		},
		"services": {
			list{catalog.NewPutServices([]catalog.Service{service(1), service(2)})},
			list{catalog.NewPutServices([]catalog.Service{service(2), service(3)})},
		},
		"exports": {
			list{catalog.NewPutExports([]catalog.Export{testExport("west", "a"), testExport("west", "b")})},
			list{catalog.NewPutExports([]catalog.Export{testExport("west", "c")})},
		},
		"slices": {
			list{
				catalog.NewPutExports([]catalog.Export{testExport("west", "a")}),
				catalog.NewPutEndpoints([]catalog.EndpointSlice{testSlice("west", "a", "1"), testSlice("west", "a", "2")}),
			},
			list{catalog.NewPutEndpoints([]catalog.EndpointSlice{testSlice("west", "a", "3")})},
		},
		"endpoints": {
			list{
				catalog.NewPutExports([]catalog.Export{testExport("west", "a")}),
				catalog.NewPutEndpoints([]catalog.EndpointSlice{testSlice("west", "a", "1", "10.2.0.1", "10.2.0.2", "10.2.0.3")}),
			},
			list{catalog.NewPutEndpoints([]catalog.EndpointSlice{testSlice("west", "a", "2", "10.2.0.1")})},
		},
		"observations": {list{catalog.NewPutObservations(observations(eastGateway))}, list{catalog.NewPutObservations(observations(northGateway))}},
		"tokens":       {list{tokenCommand("t1")}, list{tokenCommand("t2")}},
	} {
		t.Run(field, func(t *testing.T) {
			m := federationOfThree(t)
			write := func(cmd *catalogpb.Command) {
				v := m.judgeBy(small, m.sign(westGateway, cmd))[0]
				require.NotNil(t, v.Command, "%v", v.Result.Refusal)
				require.Nil(t, m.entry(v.Command)[0].Refusal)
			}
			for _, cmd := range c.within {
				write(cmd)
			}
			for _, cmd := range c.beyond {
				r := m.notWritten(m.judgeBy(small, m.sign(westGateway, cmd))[0], catalog.CodeQuota)
				assert.Equal(t, field, r.Field)
				assert.Contains(t, r.Message, `"west"`)
			}
			require.NoError(t, m.state.Restore(bytes.NewReader(encode(t, m.state.View()))))
			for _, cmd := range c.beyond {
				m.notWritten(m.judgeBy(small, m.sign(westGateway, cmd))[0], catalog.CodeQuota)
			}
		})
	}
}

func tokenCommand(id string) *catalogpb.Command {
	return catalog.NewCreateToken(catalog.Token{ID: id, SecretHash: [32]byte{1}, ExpiresAt: start().Add(time.Hour)})
}

func TestDatacenterAboveALimitCanChangeAndRemoveItsRecords(t *testing.T) {
	m := federationOfThree(t)
	a, b := testService("west", "web", "a", "10.2.0.1"), testService("west", "web", "b", "10.2.0.1")
	m.must(westGateway, catalog.NewPutServices([]catalog.Service{a, b}))
	one := quota.DefaultLimits()
	one.Services = 1
	a.Ports = nil
	assert.NotNil(t, m.judgeBy(one, m.sign(westGateway, catalog.NewPutServices([]catalog.Service{a})))[0].Command)
	assert.NotNil(t, m.judgeBy(one, m.sign(westGateway, catalog.NewDeleteServices([]catalog.ServiceKey{a.ServiceKey})))[0].Command)
	b.Instance = "c"
	m.notWritten(m.judgeBy(one, m.sign(westGateway, catalog.NewPutServices([]catalog.Service{b})))[0], catalog.CodeQuota)
}

// An old write of a member could win if another member could remove the results
// that are stored for its retry.
func TestClientsOfOneDatacenterDoNotRemoveThoseOfAnother(t *testing.T) {
	m := federationOfThree(t)
	want := m.version(northGateway, 1, 0, "v1")
	written := 0
	for i := range 5000 {
		cmd := m.sign(westGateway, catalog.NewPutServices([]catalog.Service{testService("west", "web", fmt.Sprint("i", i%100), fmt.Sprintf("10.2.%d.%d", i/200, i%200))}))
		cmd.Client, cmd.Sequence = fmt.Sprint("c", i), 1
		v := m.state.Judge([]*catalogpb.Command{cmd}, quota.DefaultLimits(), m.now)[0]
		if v.Command == nil {
			assert.Equal(t, "clients", m.notWritten(v, catalog.CodeQuota).Field)
			continue
		}
		written++
		require.Nil(t, m.entry(v.Command)[0].Refusal)
	}
	assert.Equal(t, quota.DefaultLimits().Clients, written)
	assert.Equal(t, want.Index, m.version(northGateway, 1, 0, "v1").Index)
}

func TestFirstExportInTheCatalogIsTheOldest(t *testing.T) {
	m := federationOfThree(t)
	put := func(author catalog.GatewayID, created time.Time) catalog.Export {
		e := testExport(string(author.Datacenter()), "web")
		e.CreatedAt = created
		v := m.judge(m.sign(author, catalog.NewPutExports([]catalog.Export{e})))[0]
		if v.Command != nil {
			require.Nil(t, m.entry(v.Command)[0].Refusal)
		}
		stored := m.state.View().Exports(replica.ExportFilter{Datacenter: author.Datacenter(), Namespace: "default", Name: "web"})
		require.Len(t, stored, 1)
		return stored[0]
	}
	honest := put(eastGateway, m.now)
	assert.Equal(t, m.now, honest.CreatedAt)
	liar := put(westGateway, time.Unix(0, 0))
	assert.True(t, liar.CreatedAt.After(honest.CreatedAt), "%s", liar.CreatedAt)
	liar = put(westGateway, time.Unix(0, 0))
	assert.True(t, liar.CreatedAt.After(honest.CreatedAt), "%s", liar.CreatedAt)
	future := put(northGateway, time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC))
	assert.True(t, future.CreatedAt.After(liar.CreatedAt))
	assert.LessOrEqual(t, future.CreatedAt.Sub(m.now), catalog.MaxClockSkew)
}

// Service web of far-west and service web-far of west are mirrored by
// a Service of the same name.
func TestFirstExportInTheCatalogHasTheNameOfItsMirror(t *testing.T) {
	m := federationOfThree(t)
	m.token("token-far-west", "")
	m.must(eastGateway, catalog.NewJoin(joinRequest(t, "token-far-west", "far-west", "10.4.0.0/16")))
	put := func(author catalog.GatewayID, name string, created time.Time) catalog.Export {
		e := testExport(string(author.Datacenter()), name)
		e.Mirror, e.CreatedAt = true, created
		v := m.judge(m.sign(author, catalog.NewPutExports([]catalog.Export{e})))[0]
		require.NotNil(t, v.Command)
		require.Nil(t, m.entry(v.Command)[0].Refusal)
		return m.state.View().Exports(replica.ExportFilter(e.ExportKey))[0]
	}
	honest := put("far-west/gw0", "web", m.now)
	liar := put(westGateway, "web-far", time.Unix(0, 0))
	assert.Equal(t, honest.MirrorName(), liar.MirrorName())
	assert.True(t, liar.CreatedAt.After(honest.CreatedAt), "%s", liar.CreatedAt)
}

// An export that was there first does not take the name of a mirror when it becomes one.
func TestAnExportThatIsMirroredLaterDoesNotHaveTheNameOfAnotherMirror(t *testing.T) {
	m := federationOfThree(t)
	m.token("token-far-west", "")
	m.must(eastGateway, catalog.NewJoin(joinRequest(t, "token-far-west", "far-west", "10.4.0.0/16")))
	put := func(author catalog.GatewayID, name string, mirror bool) catalog.Export {
		e := testExport(string(author.Datacenter()), name)
		e.Mirror, e.CreatedAt = mirror, m.now
		if v := m.judge(m.sign(author, catalog.NewPutExports([]catalog.Export{e})))[0]; v.Command != nil {
			require.Nil(t, m.entry(v.Command)[0].Refusal)
		}
		return m.state.View().Exports(replica.ExportFilter(e.ExportKey))[0]
	}
	first := put(westGateway, "web-far", false)
	m.now = m.now.Add(time.Minute)
	honest := put("far-west/gw0", "web", true)
	liar := put(westGateway, "web-far", true)
	assert.True(t, liar.Mirror)
	assert.True(t, liar.CreatedAt.After(honest.CreatedAt), "%s", liar.CreatedAt)
	assert.Equal(t, liar, put(westGateway, "web-far", true), "repeated")
	assert.Equal(t, honest, put("far-west/gw0", "web", true))
	assert.True(t, first.CreatedAt.Before(honest.CreatedAt))
}

// AllowPrefixes is of feature level 3.
func TestLeaderRefusesCommandsThatAGatewayDoesNotSupport(t *testing.T) {
	m := upgraded(t)
	allow := func() *catalogpb.Command {
		return m.sign(westGateway, catalog.NewAllowPrefixes([]netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}))
	}
	require.NotNil(t, m.judge(allow())[0].Command)

	older := testGateway("north", "gw0")
	older.FeatureLevel = catalog.LevelAllowed - 1
	m.must(northGateway, catalog.NewUpdateGateway(older))
	refusal := m.notWritten(m.judge(allow())[0], catalog.CodeFeatureLevel)
	assert.Contains(t, refusal.Message, "north/gw0")
	require.NotNil(t, m.judge(m.sign(westGateway, catalog.NewLeave("west")))[0].Command, "what all support")

	older.FeatureLevel = catalog.Level
	m.must(northGateway, catalog.NewUpdateGateway(older))
	require.NotNil(t, m.judge(allow())[0].Command, "the last gateway is upgraded")
}

// AddGateway, without which no other datacenter enrols a gateway, is of feature level 2,
// which all builds have.
func TestGatewayThatStatesALevelBelowAllBuildsHoldsBackNothing(t *testing.T) {
	m := upgraded(t)
	low := testGateway("north", "gw0")
	low.FeatureLevel = 1
	m.must(northGateway, catalog.NewUpdateGateway(low))
	require.NotNil(t, m.judge(m.sign(westGateway, catalog.NewAddGateway(testGateway("west", "gw1"))))[0].Command)
}

// What was used once cannot be held back afterwards.
func TestGatewayCannotStateALowerLevelThanTheFederationUses(t *testing.T) {
	m := upgraded(t)
	m.must(eastGateway, catalog.NewSetLimits(limit("services", 20_000)))
	low := testGateway("north", "gw0")
	low.FeatureLevel = catalog.LevelLimits - 1
	m.notWritten(m.judge(m.sign(northGateway, catalog.NewUpdateGateway(low)))[0], catalog.CodeFeatureLevel)
}

// A gateway that states a level above all known ones raises neither what others need nor
// what the federation uses.
func TestGatewayThatStatesAnUnknownLevelHoldsBackNothing(t *testing.T) {
	m := upgraded(t)
	high := testGateway("north", "gw0")
	high.FeatureLevel = 1<<32 - 1
	m.must(northGateway, catalog.NewUpdateGateway(high))
	for version, code := range map[uint32]string{catalog.Level + 1: catalog.CodeUnknownCommand, 1<<32 - 1: catalog.CodeUnknownCommand} {
		cmd := m.sign(northGateway, catalog.NewUpdateGateway(testGateway("north", "gw0")))
		cmd.Version = version
		refusal := m.notWritten(m.judge(cmd)[0], code)
		assert.NotContains(t, refusal.Message, "west")
	}
	assert.Zero(t, m.state.View().Settings().FeatureLevel)
	require.NotNil(t, m.judge(m.sign(westGateway, catalog.NewSetLimits(limit("services", 20_000))))[0].Command)
	m.must(eastGateway, catalog.NewSetLimits(limit("services", 20_000)))
	assert.Equal(t, uint32(catalog.LevelLimits), m.state.View().Settings().FeatureLevel)
	west := testGateway("west", "gw0")
	west.FeatureLevel, west.Version = catalog.LevelLimits, "v2"
	require.NotNil(t, m.judge(m.sign(westGateway, catalog.NewUpdateGateway(west)))[0].Command)
}

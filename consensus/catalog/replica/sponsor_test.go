package replica_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/quota"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/catalog/sponsor"
)

// invite admits a datacenter that a gateway of another one invites.
func (m *members) invite(by catalog.GatewayID, dc string, pods ...string) catalog.GatewayID {
	m.t.Helper()
	request := m.invitation(by, dc, pods...)
	m.must(by, catalog.NewJoin(request))
	return catalog.NewGatewayID(catalog.DatacenterName(dc), request.Gateway.Name)
}

func (m *members) invitation(by catalog.GatewayID, dc string, pods ...string) catalog.JoinRequest {
	m.t.Helper()
	m.must(by, catalog.NewCreateToken(catalog.Token{
		ID: "token-" + dc, SecretHash: catalog.HashSecret([]byte("token-" + dc)), ExpiresAt: m.now.Add(time.Hour),
	}))
	request := joinRequest(m.t, "token-"+dc, dc, pods...)
	request.Gateway.FeatureLevel = catalog.Level
	return request
}

// A hostile member that invites datacenters of its own agrees with them on everything.
func TestDatacenterAndThoseThatItInvitedPermitEachOtherNothing(t *testing.T) {
	const foreign = "203.0.113.0/24"
	raise := catalog.NewSetLimits([]catalog.Limit{{Resource: "gateways", Most: 63}})
	settled := func(t *testing.T) *members {
		m := upgraded(t)
		m.wait(sponsor.Time)
		return m
	}

	t.Run("the guest allows a range", func(t *testing.T) {
		m := settled(t)
		guest := m.invite(westGateway, "guest", "10.20.0.0/16")
		m.must(guest, catalog.NewAllowPrefixes(ranges(foreign)))
		refusal := m.notWritten(m.announce(foreign), catalog.CodePrefixNotAllowed)
		assert.Contains(t, refusal.Message, "datacenter guest allows it but does not count as independent")
		m.wait(sponsor.Time - 1)
		m.notWritten(m.announce(foreign), catalog.CodePrefixNotAllowed)
		m.wait(1)
		require.NotNil(t, m.announce(foreign).Command, "after a week the guest is one of its own")
	})
	t.Run("the guest announces what its inviter allows", func(t *testing.T) {
		m := settled(t)
		m.must(westGateway, catalog.NewAllowPrefixes(ranges(foreign)))
		join := m.invitation(westGateway, "guest", foreign)
		m.notWritten(m.judge(m.sign(westGateway, catalog.NewJoin(join)))[0], catalog.CodePrefixNotAllowed)
		m.must(northGateway, catalog.NewAllowPrefixes(ranges(foreign)))
		require.NotNil(t, m.judge(m.sign(westGateway, catalog.NewJoin(join)))[0].Command)
	})
	t.Run("two guests of one", func(t *testing.T) {
		m := settled(t)
		first, second := m.invite(westGateway, "first", "10.20.0.0/16"), m.invite(westGateway, "second", "10.21.0.0/16")
		m.must(first, catalog.NewAllowPrefixes(ranges(foreign)))
		update := catalog.NewUpdateDatacenter(testDatacenter(t, "second", foreign))
		m.notWritten(m.judge(m.sign(second, update))[0], catalog.CodePrefixNotAllowed)
	})
	t.Run("in one entry", func(t *testing.T) {
		m := settled(t)
		guest := catalog.GatewayID("guest/gw0")
		verdicts := m.judge(
			m.sign(westGateway, catalog.NewJoin(m.invitation(westGateway, "guest", "10.20.0.0/16"))),
			m.sign(guest, catalog.NewAllowPrefixes(ranges(foreign))),
			m.sign(westGateway, catalog.NewUpdateDatacenter(testDatacenter(t, "west", foreign))))
		require.NotNil(t, verdicts[1].Command)
		m.notWritten(verdicts[2], catalog.CodePrefixNotAllowed)
	})
	t.Run("the guest states the level of a build without ranges", func(t *testing.T) {
		m := settled(t)
		join := m.invitation(westGateway, "guest", "10.20.0.0/16")
		join.Gateway.FeatureLevel = catalog.LevelAllowed - 1
		m.must(westGateway, catalog.NewJoin(join))
		m.notWritten(m.announce(foreign), catalog.CodePrefixNotAllowed)
		update := catalog.NewUpdateDatacenter(testDatacenter(t, "east", foreign))
		require.NotNil(t, m.judge(m.sign(eastGateway, update))[0].Command, "a guest of another datacenter may be of such a build")
	})
	t.Run("the guest raises limits", func(t *testing.T) {
		m := settled(t)
		guest := m.invite(westGateway, "guest", "10.20.0.0/16")
		m.must(guest, raise)
		enrol := func() replica.Verdict {
			g := current("west/another")
			return m.judgeBy(quota.Limits{Gateways: 1, Prefixes: 10, Clients: 10, Tokens: 10, Memory: 1 << 20},
				m.sign(westGateway, catalog.NewAddGateway(g)))[0]
		}
		m.notWritten(enrol(), catalog.CodeQuota)
		m.must(northGateway, raise)
		require.NotNil(t, enrol().Command)
	})
	t.Run("the founder may", func(t *testing.T) {
		m := settled(t)
		m.must(eastGateway, catalog.NewAllowPrefixes(ranges(foreign)))
		require.NotNil(t, m.judge(m.sign(eastGateway, catalog.NewJoin(m.invitation(eastGateway, "guest", foreign))))[0].Command)
	})
}

// The memory of the datacenters that one invited is that of few.
func TestSponsoredDatacentersFillABoundedMemory(t *testing.T) {
	m := upgraded(t)
	m.wait(sponsor.Time)
	limits := quota.DefaultLimits()
	limits.Memory = 1 << 20
	export := func(of catalog.GatewayID, i int) replica.Verdict {
		e := testExport(string(of.Datacenter()), fmt.Sprintf("e%d", i))
		e.Annotations = map[string]string{"a": strings.Repeat("x", 4000)}
		return m.judgeBy(limits, m.sign(of, catalog.NewPutExports([]catalog.Export{e})))[0]
	}
	written := 0
	for g := range 4 {
		guest := m.invite(westGateway, fmt.Sprint("guest", g), fmt.Sprintf("10.%d.0.0/16", 20+g))
		for i := 0; ; i++ {
			v := export(guest, i)
			if v.Command == nil {
				assert.Equal(t, catalog.CodeQuota, v.Result.Refusal.Code)
				break
			}
			m.must(guest, v.Command)
			written += 4000
		}
	}
	assert.Less(t, written, 2<<20+4<<16)
	require.NotNil(t, export(northGateway, 0).Command, "those of others are not affected")
}

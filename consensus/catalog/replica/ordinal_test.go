package replica_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/quota"
)

// exhaust makes the federation one that has assigned all ordinals.
func (m *members) exhaust() {
	m.t.Helper()
	require.NoError(m.t, m.state.Restore(bytes.NewReader(reencode(m.t, encode(m.t, m.state.View()),
		func(records []*catalogpb.Record) []*catalogpb.Record {
			for _, r := range records {
				if f := r.GetFederation(); f != nil {
					f.NextOrdinal = catalog.MaxOrdinal + 1
				}
			}
			return records
		}))))
}

// admit lets a datacenter with a gateway of a level join through the leader.
func (m *members) admit(name string, n int, level uint32) catalog.Datacenter {
	m.t.Helper()
	m.token("token-"+name, "")
	request := joinRequest(m.t, "token-"+name, name, fmt.Sprintf("10.%d.0.0/16", n))
	request.Gateway.FeatureLevel = level
	v := m.judge(m.sign(eastGateway, catalog.NewJoin(request)))[0]
	require.NotNil(m.t, v.Command)
	result := m.entry(v.Command)[0]
	require.Nil(m.t, result.Refusal)
	return result.Datacenter
}

func TestOrdinalsAreAssignedAgainInTurn(t *testing.T) {
	m := upgraded(t) // with the ordinals 1 to 3
	m.exhaust()
	assert.Equal(t, uint32(4), m.admit("a", 11, catalog.Level).Ordinal)
	m.must("a/gw0", catalog.NewLeave("a"))
	assert.Equal(t, uint32(5), m.admit("b", 12, catalog.Level).Ordinal, "that of a comes after all others")
	assert.Equal(t, uint32(catalog.LevelOrdinal), m.state.View().Settings().FeatureLevel)
}

func TestOrdinalsAreNotAssignedAgainWhileAGatewayDoesNotSupportIt(t *testing.T) {
	m := federationOfThree(t)
	m.exhaust()
	assert.Equal(t, uint32(catalog.MaxOrdinal+1), m.admit("a", 11, catalog.Level).Ordinal)
	assert.Zero(t, m.state.View().Settings())
	m = upgraded(t)
	m.exhaust()
	assert.Equal(t, uint32(catalog.MaxOrdinal+1), m.admit("a", 11, 0).Ordinal, "the one that joins")
}

func TestMemberCannotChooseTheOrdinalOfAJoin(t *testing.T) {
	m := upgraded(t)
	m.token("t1", "")
	join := catalog.NewJoin(joinRequest(t, "t1", "a", "10.11.0.0/16"))
	join.GetJoin().Ordinal, join.GetJoin().Gateway.FeatureLevel = 77, catalog.Level
	v := m.judge(m.sign(eastGateway, join))[0]
	require.NotNil(t, v.Command)
	assert.Zero(t, v.Command.GetJoin().GetOrdinal())

	assert.Equal(t, uint32(4), m.entry(join)[0].Datacenter.Ordinal, "a member of an earlier build ignores it")
}

func TestJoinWithAnOrdinalThatIsTakenIsRefused(t *testing.T) {
	m := upgraded(t)
	m.token("t1", "")
	join := catalog.NewJoin(joinRequest(t, "t1", "a", "10.11.0.0/16"))
	join.Version = catalog.LevelOrdinal
	for _, taken := range []uint32{2, catalog.MaxOrdinal + 1} {
		join.GetJoin().Ordinal = taken
		assert.Equal(t, "ordinal", m.refused(eastGateway, join, catalog.CodeMalformed).Field)
	}
}

// An ordinal is assigned again only after all others. Each join uses a token, which the
// catalog keeps for a week after it expired, by clocks that the leader bounds: so the
// number of joins in a week, and the time of a round, are bounded for all members together.
func TestMemberCannotHurryThroughTheOrdinals(t *testing.T) {
	m := upgraded(t)
	const week = 7 * 24 * time.Hour
	end := m.now.Add(week)
	// join reports whether a gateway has admitted a datacenter, at a time of its choice.
	joins, ids := 0, 0
	join := func(author catalog.GatewayID, name string) bool {
		at := func(cmd *catalogpb.Command) *catalogpb.Command {
			cmd = m.sign(author, cmd)
			cmd.At = timestamppb.New(m.now.Add(catalog.MaxClockSkew))
			return cmd
		}
		ids++
		id := fmt.Sprint("hurry-", ids)
		create := catalog.NewCreateToken(catalog.Token{ID: id, SecretHash: catalog.HashSecret([]byte(id)), ExpiresAt: m.now.Add(catalog.MaxClockSkew + 1)})
		v := m.state.Judge([]*catalogpb.Command{at(create)}, quota.DefaultLimits(), m.now)[0]
		if v.Command == nil || m.entry(v.Command)[0].Refusal != nil {
			return false
		}
		request := joinRequest(t, id, name, "10.99.0.0/16")
		request.SecretHash = catalog.HashSecret([]byte(id))
		request.Gateway.FeatureLevel = catalog.Level
		if name != "visitor" {
			request.Datacenter.Prefixes = nil
		}
		admit := m.state.Judge([]*catalogpb.Command{at(catalog.NewJoin(request))}, quota.DefaultLimits(), m.now)[0]
		require.NotNil(t, admit.Command, "%v", admit.Result.Refusal)
		require.Nil(t, m.entry(admit.Command)[0].Refusal)
		joins++
		return true
	}
	authors := []catalog.GatewayID{westGateway}
	for i := range 8 { // accomplices, with budgets of tokens of their own
		if name := fmt.Sprint("accomplice-", i); join(westGateway, name) {
			authors = append(authors, catalog.NewGatewayID(catalog.DatacenterName(name), "gw0"))
		}
	}
	for m.now.Before(end) {
		for _, author := range authors {
			for join(author, "visitor") {
				m.must("visitor/gw0", catalog.NewLeave("visitor"))
			}
		}
		m.wait(12 * time.Hour)
		m.must(eastGateway, catalog.NewUpdateGateway(current(eastGateway))) // ends what is past its retention
	}
	round := time.Duration(catalog.MaxOrdinal/joins) * week
	assert.Greater(t, round, 20*week, "%d joins in a week", joins)
}

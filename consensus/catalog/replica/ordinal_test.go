package replica_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
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

package replica_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
)

// witnessRequest returns the request with which a witness joins.
func witnessRequest(t testing.TB, token string) catalog.JoinRequest {
	t.Helper()
	r := joinRequest(t, token, "witness")
	r.Gateway.Witness, r.Gateway.FeatureLevel = true, catalog.Level
	return r
}

func TestAWitnessHasNoPrefixes(t *testing.T) {
	m := upgraded(t)
	m.token("token-witness", "")
	data := witnessRequest(t, "token-witness")
	data.Datacenter.Prefixes = prefixes(catalog.PodPrefix, "10.9.0.0/16")
	r := m.notWritten(m.judge(m.sign(eastGateway, catalog.NewJoin(data)))[0], catalog.CodeWitness)
	assert.Contains(t, r.Message, "10.9.0.0/16")

	result := m.must(eastGateway, catalog.NewJoin(witnessRequest(t, "token-witness")))
	require.True(t, result.Gateway.Witness)
	announce := m.sign("witness/gw0", catalog.NewUpdateDatacenter(testDatacenter(t, "witness", "10.9.0.0/16")))
	m.notWritten(m.judge(announce)[0], catalog.CodeWitness)

	g := current("west/gw0")
	g.Witness = true
	m.notWritten(m.judge(m.sign(westGateway, catalog.NewUpdateGateway(g)))[0], catalog.CodeWitness)
	m.must(westGateway, catalog.NewUpdateDatacenter(testDatacenter(t, "west")))
	m.must(westGateway, catalog.NewUpdateGateway(g))
	more := current("west/gw1")
	more.Witness = true
	assert.NotNil(t, m.judge(m.sign(westGateway, catalog.NewAddGateway(more)))[0].Command)

	g.Witness = false
	m.must(westGateway, catalog.NewUpdateGateway(g))
	have, _ := m.state.View().Gateway(westGateway)
	assert.False(t, have.Witness, "a witness may become an ordinary gateway")
	assert.NotNil(t, m.announce("10.2.0.0/16").Command)
}

func TestAWitnessIsAdmittedWhenAllGatewaysSupportIt(t *testing.T) {
	m := upgraded(t)
	m.token("token-witness", "")
	old := current(northGateway)
	old.FeatureLevel = catalog.LevelWitness - 1
	m.must(northGateway, catalog.NewUpdateGateway(old))
	join := m.sign(eastGateway, catalog.NewJoin(witnessRequest(t, "token-witness")))
	r := m.notWritten(m.judge(join)[0], catalog.CodeFeatureLevel)
	assert.Contains(t, r.Message, "north/gw0")
	m.must(northGateway, catalog.NewUpdateGateway(current(northGateway)))
	require.NotNil(t, m.judge(join)[0].Command)
	m.must(eastGateway, join)
	assert.Equal(t, uint32(catalog.LevelWitness), m.state.View().Settings().FeatureLevel)
	m.notWritten(m.judge(m.sign(northGateway, catalog.NewUpdateGateway(old)))[0], catalog.CodeFeatureLevel)
}

// Members of earlier builds do not store it.
func TestACommandOfAnEarlierLevelHasNoWitness(t *testing.T) {
	m := upgraded(t)
	m.token("token-witness", "")
	g := current("west/gw0")
	g.Witness = true
	more := current("west/gw1")
	more.Witness = true
	join := catalog.NewJoin(witnessRequest(t, "token-witness"))
	update, add := catalog.NewUpdateGateway(g), catalog.NewAddGateway(more)
	join.Version, update.Version, add.Version = 1, 1, 2
	assert.False(t, m.must(eastGateway, join).Gateway.Witness)
	assert.False(t, m.must(westGateway, add).Gateway.Witness)
	m.do(westGateway, update)
	for _, have := range m.state.View().Gateways() {
		assert.False(t, have.Witness, have.ID())
	}
}

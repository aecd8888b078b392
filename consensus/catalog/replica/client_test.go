package replica_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// numbered signs cmd with the given sequence of the author's client "c".
func (m *members) numbered(author catalog.GatewayID, sequence, acknowledged uint64, cmd *catalogpb.Command) *catalogpb.Command {
	cmd = m.sign(author, cmd)
	cmd.Client, cmd.Sequence, cmd.Acknowledged = "c", sequence, acknowledged
	return cmd
}

func (m *members) version(author catalog.GatewayID, sequence, acknowledged uint64, version string) catalog.Result {
	m.t.Helper()
	g := testGateway(string(author[:len(author)-len("/gw0")]), "gw0")
	g.Version = version
	return m.entry(m.numbered(author, sequence, acknowledged, catalog.NewUpdateGateway(g)))[0]
}

func TestRetriedCommandIsAppliedOnceAndGetsItsResult(t *testing.T) {
	m := newMembers(t)
	m.init()
	m.token("t1", "")
	join := catalog.NewJoin(joinRequest(t, "t1", "west", "10.2.0.0/16"))
	first := m.entry(m.numbered(eastGateway, 1, 0, join))[0]
	require.Nil(t, first.Refusal)
	before := contents(m.state.View())

	m.wait(time.Minute)
	again := m.entry(m.numbered(eastGateway, 1, 0, join))[0]
	assert.Equal(t, first, again)
	again.Datacenter.CACertificate[0], again.Gateway.Endpoints[0] = 0, "altered"
	assert.Equal(t, first, m.entry(m.numbered(eastGateway, 1, 0, join))[0])
	assert.Equal(t, before, contents(m.state.View()))

	both := m.entry(m.numbered(eastGateway, 2, 0, catalog.NewRevokeToken("t1")), m.numbered(eastGateway, 2, 0, catalog.NewRevokeToken("t1")))
	assert.Equal(t, both[0], both[1], "a retry in the same entry")
}

func TestRetriedRefusalStaysRefused(t *testing.T) {
	m := newMembers(t)
	m.init()
	revoke := m.numbered(eastGateway, 1, 0, catalog.NewRevokeToken("t1"))
	first := m.entry(revoke)[0]
	require.Equal(t, catalog.CodeTokenUnknown, first.Refusal.Code)
	m.token("t1", "")
	assert.Equal(t, first, m.entry(revoke)[0])
	token, _ := m.state.View().Token("t1")
	assert.False(t, token.Revoked)
}

func TestAuthorThatLeftCanRetryItsLeave(t *testing.T) {
	m := federationOfThree(t)
	leave := m.numbered(westGateway, 1, 0, catalog.NewLeave("west"))
	first := m.entry(leave)[0]
	require.Nil(t, first.Refusal)
	assert.Equal(t, first, m.entry(leave)[0])
}

func TestCommandsMayArriveOutOfOrder(t *testing.T) {
	m := federationOfThree(t)
	second := m.version(westGateway, 2, 0, "v2")
	first := m.version(westGateway, 1, 0, "v1")
	require.Nil(t, first.Refusal)
	require.Nil(t, second.Refusal)
	assert.Greater(t, first.Index, second.Index)
	again := m.version(westGateway, 2, 0, "v2")
	assert.Equal(t, second.Index, again.Index)
	assert.Equal(t, "v1", again.Gateway.Version, "a retry returns the record as it is")
}

func TestRetryOfAcknowledgedCommandIsRefused(t *testing.T) {
	m := federationOfThree(t)
	m.version(westGateway, 1, 0, "v1")
	m.version(westGateway, 2, 0, "v2")
	m.version(westGateway, 3, 1, "v3")
	stale := m.version(westGateway, 1, 0, "v1")
	require.NotNil(t, stale.Refusal)
	assert.Equal(t, catalog.CodeStaleSequence, stale.Refusal.Code)
	assert.Nil(t, m.version(westGateway, 2, 0, "v2").Refusal, "2 was not acknowledged")
	g, _ := m.state.View().Gateway(westGateway)
	assert.Equal(t, "v3", g.Version)
}

func TestClientsOfDifferentAuthorsAreSeparate(t *testing.T) {
	m := federationOfThree(t)
	require.Nil(t, m.version(westGateway, 1, 0, "v1").Refusal)
	require.Nil(t, m.version(eastGateway, 1, 0, "v1").Refusal)
	g, _ := m.state.View().Gateway(eastGateway)
	assert.Equal(t, "v1", g.Version)
}

func TestClientWithTooManyUnacknowledgedResultsIsRefused(t *testing.T) {
	m := federationOfThree(t)
	cmds := make([]*catalogpb.Command, 0, catalog.MaxOutstanding)
	for i := range uint64(catalog.MaxOutstanding) {
		cmds = append(cmds, m.numbered(westGateway, i+1, 0, catalog.NewPutServices(nil)))
	}
	for _, r := range m.entry(cmds...) {
		require.Nil(t, r.Refusal)
	}
	next := uint64(catalog.MaxOutstanding + 1)
	r := m.version(westGateway, next, 0, "more")
	require.NotNil(t, r.Refusal)
	assert.Equal(t, catalog.CodeClientBacklog, r.Refusal.Code)
	assert.Nil(t, m.version(westGateway, next, 1, "more").Refusal, "the refusal is not stored, so that the command can be retried")
}

func TestIdleClientIsDeletedAfterADay(t *testing.T) {
	for name, c := range map[string]struct {
		idle    time.Duration
		version string
	}{
		"after a day":           {24 * time.Hour, "v2"},
		"after more than a day": {24*time.Hour + 1, "v1"},
	} {
		t.Run(name, func(t *testing.T) {
			m := federationOfThree(t)
			m.version(westGateway, 1, 0, "v1")
			m.must(westGateway, catalog.NewUpdateGateway(func() catalog.Gateway { g := testGateway("west", "gw0"); g.Version = "v2"; return g }()))
			m.wait(c.idle)
			m.must(eastGateway, catalog.NewPutServices(nil))
			m.version(westGateway, 1, 0, "v1")
			g, _ := m.state.View().Gateway(westGateway)
			assert.Equal(t, c.version, g.Version)
		})
	}
}

func TestClientsAreBoundedAndTheLongestIdleIsRemoved(t *testing.T) {
	const limit = 4096
	m := federationOfThree(t)
	put := func(client string) {
		cmd := m.sign(westGateway, catalog.NewPutServices(nil))
		cmd.Client, cmd.Sequence = client, 1
		m.wait(time.Millisecond)
		require.Nil(t, m.entry(cmd)[0].Refusal)
	}
	first := m.version(westGateway, 1, 0, "v1")
	put("n0")
	// Copies of the client n0 fill the table up to one below the limit.
	snapshot := reencode(t, encode(t, m.state.View()), func(records []*catalogpb.Record) []*catalogpb.Record {
		last := records[slices.IndexFunc(records, func(r *catalogpb.Record) bool { return r.GetClient().GetId() == "n0" })]
		for i := 1; i < limit-2; i++ {
			more := proto.CloneOf(last)
			more.GetClient().Id = fmt.Sprint("n", i)
			records = append(records, more)
		}
		return records
	})
	require.NoError(t, m.state.Restore(bytes.NewReader(snapshot)))
	put("last")
	require.Equal(t, limit, countClients(t, m.state.View()))
	assert.Equal(t, first.Index, m.version(westGateway, 1, 0, "v1").Index, "the result is stored")
	put("one-more")
	assert.Equal(t, limit, countClients(t, m.state.View()))
	again := m.version(westGateway, 1, 0, "v1")
	assert.Equal(t, m.index, again.Index, "the result is deleted")
}

func countClients(t *testing.T, v *replica.View) (n int) {
	t.Helper()
	for _, r := range decodeRecords(t, encode(t, v)) {
		if r.GetClient() != nil {
			n++
		}
	}
	return n
}

func TestCommandWithBadEnvelopeIsRefused(t *testing.T) {
	for name, edit := range map[string]func(*catalogpb.Command){
		"no time":                     func(c *catalogpb.Command) { c.At = nil },
		"impossible time":             func(c *catalogpb.Command) { c.At.Nanos = -1 },
		"client without sequence":     func(c *catalogpb.Command) { c.Client = "c" },
		"sequence without client":     func(c *catalogpb.Command) { c.Sequence = 1 },
		"acknowledges its own result": func(c *catalogpb.Command) { c.Client, c.Sequence, c.Acknowledged = "c", 1, 1 },
		"client is not printable":     func(c *catalogpb.Command) { c.Client, c.Sequence = "c\x00", 1 },
		"client is too long":          func(c *catalogpb.Command) { c.Client, c.Sequence = string(make([]byte, 129)), 1 },
		"gateway key has 31 bytes":    func(c *catalogpb.Command) { c.GetUpdateGateway().Gateway.PublicKey = make([]byte, 31) },
	} {
		t.Run(name, func(t *testing.T) {
			m := federationOfThree(t)
			cmd := m.sign(westGateway, catalog.NewUpdateGateway(testGateway("west", "gw0")))
			edit(cmd)
			result := m.entry(cmd)[0]
			require.NotNil(t, result.Refusal)
			assert.Equal(t, catalog.CodeMalformed, result.Refusal.Code)
		})
	}
}

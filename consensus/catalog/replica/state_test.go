package replica_test

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// withUnknownBody returns cmd with a body whose field number is unknown.
func withUnknownBody(t *testing.T, cmd *catalogpb.Command) *catalogpb.Command {
	t.Helper()
	cmd.Body = nil
	b, err := proto.Marshal(cmd)
	require.NoError(t, err)
	b = protowire.AppendTag(b, 99, protowire.BytesType)
	b = protowire.AppendBytes(b, []byte("body"))
	future := &catalogpb.Command{}
	require.NoError(t, proto.Unmarshal(b, future))
	return future
}

func TestEntryWithUnknownCommandIsNotApplied(t *testing.T) {
	m := federationOfThree(t)
	token := func() *catalogpb.Command {
		return m.sign(eastGateway, catalog.NewCreateToken(catalog.Token{
			ID: "t1", SecretHash: [32]byte{1}, ExpiresAt: m.now.Add(time.Hour),
		}))
	}
	newer, none, more := token(), token(), token()
	more.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 8, protowire.VarintType), 1))
	newer.Version = catalog.Level + 1
	none.Version = 0
	for name, unknown := range map[string]*catalogpb.Command{
		"body": withUnknownBody(t, token()), "no body": {Version: 1}, "newer version": newer, "no version": none,
		"known body and unknown field": more,
	} {
		t.Run(name, func(t *testing.T) {
			before := contents(m.state.View())
			entry, err := catalog.Marshal(token(), unknown)
			require.NoError(t, err)
			results, err := m.state.Apply(m.index+1, entry)
			require.ErrorIs(t, err, catalog.ErrUnknownCommand)
			assert.Nil(t, results)
			assert.Equal(t, before, contents(m.state.View()))
			assert.Equal(t, m.index, m.state.View().Index())
		})
	}
}

func TestIgnorableUnknownCommandIsSkipped(t *testing.T) {
	m := federationOfThree(t)
	future := m.sign(eastGateway, catalog.NewRevokeToken("x"))
	future.Ignorable = true
	future = withUnknownBody(t, future)
	results := m.entry(future, m.sign(eastGateway, catalog.NewPutServices(nil)))
	require.NotNil(t, results[0].Refusal)
	assert.Equal(t, catalog.CodeIgnoredUnknown, results[0].Refusal.Code)
	assert.Nil(t, results[1].Refusal)
}

func TestMalformedEntryIsAnError(t *testing.T) {
	for name, entry := range map[string][]byte{
		"garbage":       {0xff},
		"unknown field": protowire.AppendVarint(protowire.AppendTag(nil, 9, protowire.VarintType), 1),
	} {
		_, err := replica.New().Apply(1, entry)
		require.Error(t, err, name)
	}
}

func TestAppliedEntryIsNotAppliedAgain(t *testing.T) {
	m := federationOfThree(t)
	before := encode(t, m.state.View())
	for i, entry := range m.log {
		results, err := m.state.Apply(m.index-uint64(i), entry)
		require.NoError(t, err)
		assert.Nil(t, results)
	}
	assert.Equal(t, before, encode(t, m.state.View()))
}

func TestRefusedCommandDoesNotAffectOthersOfItsEntry(t *testing.T) {
	m := federationOfThree(t)
	results := m.entry(
		m.sign(westGateway, catalog.NewLeave("east")),
		m.sign(westGateway, catalog.NewPutServices([]catalog.Service{testService("west", "web", "a", "10.2.0.1")})),
	)
	assert.NotNil(t, results[0].Refusal)
	assert.Nil(t, results[1].Refusal)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestChangedIsClosedByApplyAndRestore(t *testing.T) {
	m := federationOfThree(t)
	snapshot := encode(t, m.state.View())

	changed, other := m.state.Changed(), m.state.Changed()
	assert.False(t, isClosed(changed))
	m.must(eastGateway, catalog.NewPutServices(nil))
	assert.True(t, isClosed(changed))
	assert.True(t, isClosed(other))

	changed = m.state.Changed()
	assert.False(t, isClosed(changed))
	require.NoError(t, m.state.Restore(bytes.NewReader(snapshot)))
	assert.True(t, isClosed(changed))
	assert.False(t, isClosed(m.state.Changed()))
}

func TestTopologyChangesWithMembersAndNotWithServices(t *testing.T) {
	m := federationOfThree(t)
	snapshot := encode(t, m.state.View())
	east, _ := m.state.View().Gateway(eastGateway)
	east.Version = "another"
	dc, _ := m.state.View().Datacenter("east")
	dc.Prefixes[0].CIDR = netip.MustParsePrefix("10.77.0.0/16")
	for _, test := range []struct {
		name    string
		command *catalogpb.Command
		want    bool
	}{
		{"nothing", catalog.NewPutServices(nil), false},
		{"a service", catalog.NewPutServices([]catalog.Service{testService("east", "web", "a", "10.1.0.1")}), false},
		{"an export", catalog.NewPutExports([]catalog.Export{testExport("east", "web")}), false},
		{"a gateway", catalog.NewUpdateGateway(east), true},
		{"a datacenter", catalog.NewUpdateDatacenter(dc), true},
		{"an observation", catalog.NewPutObservations([]catalog.Observation{{Observer: eastGateway, Peer: westGateway, Endpoint: netip.MustParseAddrPort("192.0.2.9:51820")}}), true},
	} {
		changed := m.state.TopologyChanged()
		m.must(eastGateway, test.command)
		assert.Equal(t, test.want, isClosed(changed), test.name)
	}
	changed := m.state.TopologyChanged()
	require.NoError(t, m.state.Restore(bytes.NewReader(snapshot)))
	assert.True(t, isClosed(changed))
}

func TestViewNeverChanges(t *testing.T) {
	m := federationOfThree(t)
	v := m.state.View()
	before, index := contents(v), v.Index()
	m.must(westGateway, catalog.NewLeave("west"))
	require.NoError(t, m.state.Restore(bytes.NewReader(encode(t, replica.New().View()))))
	assert.Equal(t, before, contents(v))
	assert.Equal(t, index, v.Index())
	assert.Equal(t, viewContents{}, contents(m.state.View()))
}

package member

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/consensus"
)

// A gateway that is restarted before the leader has reached it has them still.
func TestTheVotersThatTheAdmittingGatewayReportsAreKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "raft")
	s := seedOf(dir)
	assert.False(t, s.exists())
	sent := &controlpb.ElectorateResponse{Term: 7, Voters: []*controlpb.ElectorateResponse_Voter{{Gateway: "east/gw1"}, {Gateway: "west/gw1"}}}
	require.NoError(t, s.save([]byte("catalog"), electorateOf(sent)))
	assert.True(t, s.exists())
	want := consensus.Electorate{Term: 7, Voters: []consensus.Voter{{ID: "east/gw1"}, {ID: "west/gw1"}}}
	assert.Equal(t, want, seedOf(dir).electorate())
}

func TestASeedOfAnEarlierBuildHasNoVoters(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "raft")
	require.NoError(t, seedOf(dir).save([]byte("catalog"), electorateOf(nil)))
	assert.True(t, seedOf(dir).exists())
	assert.Equal(t, consensus.Electorate{}, seedOf(dir).electorate())
	require.NoError(t, os.WriteFile(seedOf(dir).voters, []byte("{"), 0o600))
	assert.Equal(t, consensus.Electorate{}, seedOf(dir).electorate(), "not readable")
}

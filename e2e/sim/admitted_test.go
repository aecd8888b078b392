package sim

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
)

// Until it has a configuration of raft, a new gateway follows no other one.
func TestAGatewayThatJoinsOrEnrolsStoresWhichGatewaysVote(t *testing.T) {
	simulate(t, func(t *testing.T, sim *simulation) {
		p := replaced(t, sim)
		for _, joined := range []*gateway{p.a, p.b} {
			data, err := os.ReadFile(filepath.Join(joined.cfg.DataDir, "raft", "join.voters"))
			require.NoError(t, err, joined.name())
			var then consensus.Electorate
			require.NoError(t, json.Unmarshal(data, &then))
			assert.NotZero(t, then.Term)
			assert.Contains(t, then.Voters, consensus.Voter{ID: p.west.cfg.GatewayID()})
		}
	})
}

package recovery_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/membership/internal/recovery"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

func TestRecoveryIsRefusedWhileVotersThatItExcludesAnswer(t *testing.T) {
	peer := func(id catalog.GatewayID, healthy bool) consensus.Peer {
		return consensus.Peer{ID: id, Voter: true, Healthy: healthy}
	}
	lost := consensus.Status{Peers: []consensus.Peer{peer("east/gw1", false), peer("west/gw1", true), peer("west/gw2", true)}}
	led, answers := lost, lost
	led.Leader = "west/gw2"
	answers.Peers = append(answers.Peers[:3:3], peer("north/gw1", true))
	for name, c := range map[string]struct {
		state  consensus.Status
		voters []catalog.GatewayID
		want   string // part of the refusal
	}{
		"the other datacenter is lost":     {lost, []catalog.GatewayID{"west/gw1", "west/gw2"}, ""},
		"a sibling is lost too":            {lost, []catalog.GatewayID{"west/gw1"}, ""},
		"there is a leader":                {led, []catalog.GatewayID{"west/gw1", "west/gw2"}, "the catalog has a leader, west/gw2"},
		"this gateway would not vote":      {lost, []catalog.GatewayID{"west/gw2"}, "west/gw1 is not one of the future voters"},
		"a voter is unknown":               {lost, []catalog.GatewayID{"west/gw1", "west/gw9"}, "west/gw9 is not in the catalog"},
		"a voter that is excluded answers": {answers, []catalog.GatewayID{"west/gw1", "west/gw2"}, "north/gw1 still answers"},
		"all that answer are named":        {answers, []catalog.GatewayID{"west/gw1", "west/gw2", "north/gw1"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := recovery.Check(c.state, "west/gw1", c.voters)
			if c.want == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, c.want)
		})
	}
}

package member

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

func TestTheTimersOfRaftFollowTheDistanceOfTheGateways(t *testing.T) {
	const near, between, far = 10 * time.Millisecond, 70 * time.Millisecond, 200 * time.Millisecond
	now := time.Now()
	var d distance
	assert.False(t, d.far(false, 0, now), "not measured")
	assert.False(t, d.far(false, between, now))
	assert.True(t, d.far(false, far, now))
	assert.True(t, d.far(true, between, now))
	assert.True(t, d.far(true, near, now))
	assert.True(t, d.far(true, between, now.Add(nearFor-time.Minute)))
	assert.True(t, d.far(true, near, now.Add(nearFor)), "they were not near all the time")
	assert.False(t, d.far(true, near, now.Add(2*nearFor)))
	assert.False(t, d.far(false, near, now.Add(2*nearFor+time.Minute)))
}

func TestOnlyVotersChangeTheTimersOfRaftByTheirDistance(t *testing.T) {
	peers := []consensus.Peer{{ID: "east/gw", Voter: true}, {ID: "west/gw", Voter: true}, {ID: "north/gw"}, {ID: "south/gw", Voter: true}}
	roundTrips := map[catalog.GatewayID]time.Duration{"west/gw": 3 * time.Millisecond, "north/gw": time.Second, "south/gw": 2 * time.Millisecond}
	assert.Equal(t, 3*time.Millisecond, toVoters(peers, roundTrips))
	assert.Zero(t, toVoters(peers, nil))
	assert.Zero(t, toVoters(nil, roundTrips), "raft does not run")
}

// Each change restarts raft, and its leader hands over.
func TestAGatewayThatAnswersSlowlyFromTimeToTimeRestartsRaftRarely(t *testing.T) {
	now := time.Now()
	var d distance
	wan, changes := false, 0
	for minute := range 24 * 60 {
		rtt := time.Millisecond
		if minute%2 == 0 {
			rtt = 200 * time.Millisecond
		}
		if next := d.far(wan, rtt, now.Add(time.Duration(minute)*time.Minute)); next != wan {
			wan, changes = next, changes+1
		}
	}
	assert.Equal(t, 1, changes)
}

package raftnode

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTimersAreValid(t *testing.T) {
	for _, timers := range []Timers{LAN(), WAN()} {
		require.NoError(t, timers.validate())
	}
	bad := LAN()
	bad.Lease = time.Minute
	require.ErrorContains(t, bad.validate(), "LeaderLeaseTimeout")
	bad = LAN()
	bad.HeartbeatInterval = bad.Lease / 2
	require.ErrorContains(t, bad.validate(), "HeartbeatInterval")
}

func TestOpenNamesTheMissingField(t *testing.T) {
	_, err := Open(Config{})
	require.ErrorContains(t, err, "ID is empty")
	_, err = Open(Config{ID: "a/1"})
	require.ErrorContains(t, err, "Dir is empty")
}

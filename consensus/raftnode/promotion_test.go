package raftnode_test

import (
	"slices"
	"testing"
	"time"

	metrics "github.com/hashicorp/go-metrics/compat"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/consensustest"
)

// pauseSink calls pause whenever raft's leader has sent an entry to the others and has
// not yet counted the votes by the configuration that the entry contains.
type pauseSink struct {
	metrics.BlackholeSink
	pause func()
}

func (s *pauseSink) AddSampleWithLabels(key []string, _ float32, _ []metrics.Label) {
	if slices.Equal(key, []string{"raft", "leader", "dispatchLog"}) {
		s.pause()
	}
}

// observeDispatches makes all leaders call f, as pauseSink does, until the function that it
// returns is called.
func observeDispatches(t *testing.T, f func()) (end func()) {
	cfg := metrics.DefaultConfig("")
	cfg.EnableHostname, cfg.EnableRuntimeMetrics = false, false
	set := func(sink metrics.MetricSink) {
		_, err := metrics.NewGlobal(cfg, sink)
		require.NoError(t, err)
	}
	set(&pauseSink{pause: f})
	return func() { set(&metrics.BlackholeSink{}) }
}

// Raft does not count the acknowledgement of a new voter that arrives before the leader
// uses the new configuration. While one voter is away, the change is then committed by
// the next entry only.
func TestAPromotionNeedsNoLaterWriteWhileAVoterIsAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := consensustest.New(t, 3, consensustest.Options{})
		leader := c.Leader()
		away, slow := others(c, leader)[0], others(c, leader)[1]
		away.Kill()

		const pause = 10 * time.Millisecond
		end := observeDispatches(t, func() {
			c.Network.Cut(slow.ID, leader.ID)
			time.AfterFunc(2*pause, func() { c.Network.Restore(slow.ID, leader.ID) })
			time.Sleep(pause)
		})
		defer end()
		for i := range 2 {
			c.Join(consensustest.DatacenterName(3+i), "gw0")
		}
		c.Until("both new members to have a vote", func() bool { return len(voters(t, leader)) == 5 })
		require.Equal(t, leader, c.Leader(), "no election has committed the change")
	})
}

package noleader_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/membership/internal/noleader"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus"
)

func TestDataIsGivenUpOnlyAfterEveryOtherCauseIsExcluded(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	voters := func(healthy ...bool) []consensus.Peer {
		out := []consensus.Peer{{ID: "east/a", Voter: true}}
		for i, h := range healthy {
			out = append(out, consensus.Peer{ID: []plan.Session{{Gateway: "west/a"}, {Gateway: "north/a"}}[i].Gateway, Voter: true, Healthy: h})
		}
		return append(out, consensus.Peer{ID: "south/a"})
	}
	const clock = "set the clock of this host (timedatectl status shows it); the rest recovers by itself"
	const start = "start meshd on them, and restore the network between them and this gateway, until most voters (meshctl raft list-peers) are reached"
	for name, c := range map[string]struct {
		noleader.Leadership
		codes  []string
		remedy string // of the last problem
	}{
		"a leader": {Leadership: noleader.Leadership{Status: consensus.Status{Leader: "west/a", Peers: voters(true, true)}}},
		"clock at boot": {
			Leadership: noleader.Leadership{Now: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), Status: consensus.Status{Peers: voters(false, false)}, Since: now.Add(-2 * time.Hour)},
			codes:      []string{"clock-wrong", "no-leader"}, remedy: clock,
		},
		"clock at boot, of the leader": {
			Leadership: noleader.Leadership{Now: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), Status: consensus.Status{Leader: "east/a"}},
			codes:      []string{"clock-wrong"}, remedy: clock,
		},
		"expired CA": {
			Leadership: noleader.Leadership{Expires: now.Add(-time.Minute), Status: consensus.Status{Peers: voters(true, true)}},
			codes:      []string{"certificate-expired", "no-leader"},
			remedy: "check the clock of this host first (timedatectl status shows it); " +
				"if it is right, let the datacenter leave and join it again (meshctl leave, meshctl join), one datacenter at a time",
		},
		"control ports": {
			Leadership: noleader.Leadership{Status: consensus.Status{Peers: voters(true, false)}}, codes: []string{"no-leader"},
			remedy: "check on the voters (meshctl raft list-peers) that meshd runs, that TCP to their control ports passes through and outside of the tunnels, and that their clocks are right",
		},
		"control ports, for long": {
			Leadership: noleader.Leadership{Status: consensus.Status{Peers: voters(true, false)}, Since: now.Add(-2 * time.Hour)}, codes: []string{"no-leader"},
			remedy: "check on the voters (meshctl raft list-peers) that meshd runs, that TCP to their control ports passes through and outside of the tunnels, and that their clocks are right",
		},
		"all voters reached, for long": {
			Leadership: noleader.Leadership{Status: consensus.Status{Peers: voters(true, true)}, Since: now.Add(-2 * time.Hour)}, codes: []string{"no-leader"},
			remedy: "if this lasts for more than a minute, check on the voters (meshctl raft list-peers) that meshd runs, that TCP to their control ports passes, and that their clocks are right",
		},
		"an outage": {
			Leadership: noleader.Leadership{Status: consensus.Status{Peers: voters(false, false)}},
			codes:      []string{"no-leader"}, remedy: start,
		},
		"a long outage": {
			Leadership: noleader.Leadership{Status: consensus.Status{Peers: voters(false, false)}, Since: now.Add(-2 * time.Hour)},
			codes:      []string{"no-leader"},
			remedy:     start + "; only if the disks of most voters are lost, so that they cannot be started again, see meshctl raft recover --help, in Kubernetes with the --context of this cluster",
		},
		"a long outage with another clock than most others": {
			Leadership: noleader.Leadership{
				Status: consensus.Status{Peers: voters(false, false)}, Since: now.Add(-2 * time.Hour),
				Differ: []control.ClockDifference{{Gateway: "north/a"}, {Gateway: "west/a"}}, Others: 3,
			},
			codes: []string{"clock-wrong", "no-leader"}, remedy: clock,
		},
		"a long outage beside another clock": {
			Leadership: noleader.Leadership{
				Status: consensus.Status{Peers: voters(false, false)}, Since: now.Add(-2 * time.Hour),
				Differ: []control.ClockDifference{{Gateway: "west/a"}}, Others: 3,
			},
			codes:  []string{"clock-wrong", "no-leader"},
			remedy: "set the clock of gateway west/a (timedatectl status shows it); the rest recovers by itself",
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := c.Leadership
			l.Self, l.Passed = "east/a", noleader.Moment{now.AddDate(0, -1, 0), "the CA of datacenter east was created"}
			if l.Now.IsZero() {
				l.Now = now
			}
			if l.Since.IsZero() {
				l.Since = now
			}
			var codes []string
			remedy := ""
			for _, p := range l.Problems() {
				codes, remedy = append(codes, p.Code), p.Remedy
			}
			assert.Equal(t, c.codes, codes)
			assert.Equal(t, c.remedy, remedy)
		})
	}
}

func TestAnUnreachableVoterIsNamed(t *testing.T) {
	l := noleader.Leadership{Self: "east/a", Status: consensus.Status{Peers: []consensus.Peer{{ID: "east/a", Voter: true}, {ID: "west/a", Voter: true}}}}
	assert.Equal(t, "the catalog has no leader, because this gateway cannot reach its voters west/a: nothing can be written; traffic is not affected",
		l.Problems()[0].Message)
}

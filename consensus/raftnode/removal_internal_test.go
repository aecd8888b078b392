package raftnode

import (
	"testing"
	"time"

	"github.com/meshway/meshway/consensus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestADatacenterIsRemovedOnlyWhenItIsSilentAndNotNeeded(t *testing.T) {
	const long = time.Hour
	for name, c := range map[string]struct {
		members    string
		heard, led time.Duration // ago; heard 0: never
		force      bool
		code       string // empty: not refused
	}{
		"silent":                     {members: "a/1:V b/1:vd c/1:v", heard: 2 * time.Minute, led: long},
		"silent, without vote":       {members: "a/1:V b/1:", heard: 2 * time.Minute, led: long},
		"never heard":                {members: "a/1:V b/1:vd c/1:v", led: long},
		"of which raft has nobody":   {members: "a/1:V c/1:v", led: long},
		"just heard":                 {members: "a/1:V b/1:v c/1:v", heard: time.Second, led: long, code: consensus.CodeDatacenterHeard},
		"heard within the grace":     {members: "a/1:V b/1:vd c/1:v", heard: removalGrace - time.Second, led: long, code: consensus.CodeDatacenterHeard},
		"heard, by force":            {members: "a/1:V b/1:v c/1:v", heard: time.Second, led: long, force: true},
		"new leader":                 {members: "a/1:V b/1:vd c/1:v", led: 10 * time.Second, code: consensus.CodeDatacenterHeard},
		"new leader, by force":       {members: "a/1:V b/1:vd c/1:v", led: 10 * time.Second, force: true},
		"new leader that led before": {members: "a/1:V b/1:vd c/1:v", heard: long, led: 10 * time.Second, code: consensus.CodeDatacenterHeard},
		"it leads":                   {members: "a/1:v b/1:V c/1:v", led: long, force: true, code: consensus.CodeDatacenterLeads},
		"its vote is needed":         {members: "a/1:V b/1:v c/1:vd", heard: time.Second, led: long, force: true, code: consensus.CodeVotesNeeded},
		"two of five votes":          {members: "a/1:V b/1:vd b/2:vd c/1:v c/2:v", led: long},
		"three of five votes":        {members: "a/1:V b/1:v b/2:v b/3:v c/1:v", heard: time.Second, led: long, force: true, code: consensus.CodeVotesNeeded},
		"a non-voter by few":         {members: "a/1:V b/1:h c/1:vd", heard: time.Second, led: long, force: true},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
			r := removal{datacenter: "b", force: c.force, led: now.Add(-c.led), now: now}
			if c.heard > 0 {
				r.heard = now.Add(-c.heard)
			}
			refusal := r.refusal(parseMembers(c.members))
			if c.code == "" {
				require.Nil(t, refusal)
				return
			}
			require.NotNil(t, refusal)
			assert.Equal(t, c.code, refusal.Code)
			assert.NotEmpty(t, refusal.Remedy)
		})
	}
}

func TestTheRefusalSaysSinceWhenADatacenterIsSilent(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	members := parseMembers("a/1:V b/1:vd c/1:v")
	r := removal{datacenter: "b", heard: now.Add(-12 * time.Second), led: now.Add(-time.Hour), now: now}
	assert.Equal(t, "the catalog's leader heard b at 2026-03-01T11:59:48Z, 12s ago: it may be alive", r.refusal(members).Message)
	r = removal{datacenter: "b", led: now.Add(-20 * time.Second), now: now}
	assert.Equal(t, "the catalog's leader listens to b only since 2026-03-01T11:59:40Z, 20s ago, and has not heard it", r.refusal(members).Message)
	assert.Contains(t, r.refusal(members).Remedy, "--force")
}

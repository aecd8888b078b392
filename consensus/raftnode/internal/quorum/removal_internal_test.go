package quorum

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
)

func TestADatacenterIsRemovedOnlyWhenItDoesNotAnswerAndIsNotNeeded(t *testing.T) {
	const long = time.Hour
	for name, c := range map[string]struct {
		members         string
		answered, leads time.Duration // ago; answered 0: never
		force           bool
		code            string // empty: not refused
	}{
		"no answer":                        {members: "a/1:V b/1:vd c/1:v", answered: 2 * time.Minute, leads: long},
		"no answer, without vote":          {members: "a/1:V b/1:", answered: 2 * time.Minute, leads: long},
		"never an answer":                  {members: "a/1:V b/1:vd c/1:v", leads: long},
		"not in raft":                      {members: "a/1:V c/1:v", leads: long},
		"an answer just now":               {members: "a/1:V b/1:v c/1:v", answered: time.Second, leads: long, code: consensus.CodeDatacenterActive},
		"an answer within the grace":       {members: "a/1:V b/1:vd c/1:v", answered: removalGrace - time.Second, leads: long, code: consensus.CodeDatacenterActive},
		"an answer, by force":              {members: "a/1:V b/1:v c/1:v", answered: time.Second, leads: long, force: true},
		"new leader":                       {members: "a/1:V b/1:vd c/1:v", leads: 10 * time.Second, code: consensus.CodeDatacenterActive},
		"new leader, by force":             {members: "a/1:V b/1:vd c/1:v", leads: 10 * time.Second, force: true},
		"new leader that led before":       {members: "a/1:V b/1:vd c/1:v", answered: long, leads: 10 * time.Second, code: consensus.CodeDatacenterActive},
		"it leads":                         {members: "a/1:v b/1:V c/1:v", leads: long, force: true, code: consensus.CodeDatacenterLeads},
		"its vote is needed":               {members: "a/1:V b/1:v c/1:vd", answered: time.Second, leads: long, force: true, code: consensus.CodeVotesNeeded},
		"two of five votes":                {members: "a/1:V b/1:vd b/2:vd c/1:v c/2:v", leads: long},
		"three of five votes":              {members: "a/1:V b/1:v b/2:v b/3:v c/1:v", answered: time.Second, leads: long, force: true, code: consensus.CodeVotesNeeded},
		"a non-voter, with one voter left": {members: "a/1:V b/1:h c/1:vd", answered: time.Second, leads: long, force: true},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
			r := DatacenterRemoval{Datacenter: "b", Force: c.force, LeaderSince: now.Add(-c.leads), Now: now}
			if c.answered > 0 {
				r.Answered = now.Add(-c.answered)
			}
			refusal := r.Refusal(parseMembers(c.members))
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

func TestTheRefusalContainsTheLastAnswerOfTheDatacenter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	members := parseMembers("a/1:V b/1:vd c/1:v")
	r := DatacenterRemoval{Datacenter: "b", Answered: now.Add(-12 * time.Second), LeaderSince: now.Add(-time.Hour), Now: now}
	assert.Equal(t, "datacenter b last answered the catalog's leader at 2026-03-01T11:59:48Z, 12s ago: it may be running", r.Refusal(members).Message)
	r = DatacenterRemoval{Datacenter: "b", LeaderSince: now.Add(-20 * time.Second), Now: now}
	assert.Equal(t, "datacenter b has not answered the catalog's leader, which leads only since 2026-03-01T11:59:40Z, 20s ago", r.Refusal(members).Message)
	assert.Contains(t, r.Refusal(members).Remedy, "--force")
}

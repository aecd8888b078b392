package membership

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/identity"
)

func TestDecisionFollowsFromTheSituation(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	member := &identity.DatacenterMembership{FederationID: "f"}
	other := &identity.MembershipLock{Gateway: "b", At: now.Add(-time.Minute)}
	expired := &identity.MembershipLock{Gateway: "b", At: now.Add(-identity.LockTTL)}
	own := &identity.MembershipLock{Gateway: "a", At: now}
	in := func(change func(*memberSituation)) *memberSituation {
		m := &memberSituation{federationID: "f", leader: true, listed: true, datacenterListed: true}
		if change != nil {
			change(m)
		}
		return m
	}
	for name, c := range map[string]struct {
		history  history
		token    bool
		alone    bool // the datacenter has one gateway by its nature
		guards   bool
		shared   identity.SharedState
		stateErr error
		member   *memberSituation
		want     action
	}{
		"outside, alone, without a token":                 {alone: true, want: doNothing},
		"outside, alone, with a token":                    {alone: true, token: true, want: doJoin},
		"outside, after a leave, with the used token":     {alone: true, token: true, history: history{joined: true}, want: doNothing},
		"outside, shared state unknown":                   {token: true, stateErr: assert.AnError, want: doRetry},
		"outside, another gateway holds the lock":         {token: true, shared: identity.SharedState{Lock: other}, want: doRetry},
		"outside, the lock has expired":                   {token: true, shared: identity.SharedState{Lock: expired}, want: doJoin},
		"outside, the datacenter is a member":             {token: true, shared: identity.SharedState{Membership: member}, want: doEnrol},
		"outside, locked, the datacenter is a member":     {shared: identity.SharedState{Membership: member, Lock: other}, want: doRetry},
		"outside, the datacenter is not a member":         {want: doNothing},
		"outside, after a leave":                          {guards: true, shared: identity.SharedState{Left: "f"}, want: doNothing},
		"outside, after a leave that is released":         {guards: true, shared: identity.SharedState{Left: "f", Released: true}, want: doRelease},
		"outside, released before":                        {token: true, shared: identity.SharedState{Left: "f", Released: true}, want: doJoin},
		"member, alone":                                   {alone: true, member: in(nil), want: doNothing},
		"member":                                          {member: in(nil), shared: identity.SharedState{Membership: member}, want: doPublishState},
		"member, shared state unknown":                    {member: in(nil), stateErr: assert.AnError, want: doNothing},
		"member, own command":                             {member: in(func(m *memberSituation) { m.busy = true }), shared: identity.SharedState{Lock: own}, want: doNothing},
		"member, own lock left from a finished command":   {member: in(nil), shared: identity.SharedState{Lock: own}, want: doPublishState},
		"member, another gateway holds the lock":          {member: in(nil), shared: identity.SharedState{Lock: other}, want: doNothing},
		"member, another gateway has left":                {member: in(nil), shared: identity.SharedState{Left: "f"}, want: doDismantle},
		"member, the datacenter left another federation":  {member: in(nil), shared: identity.SharedState{Left: "g", Membership: member}, want: doPublishState},
		"member, this gateway is leaving":                 {member: in(nil), shared: identity.SharedState{Left: "f", Lock: own}, want: doPublishState},
		"member, removed from the catalog":                {member: in(func(m *memberSituation) { m.listed = false }), shared: identity.SharedState{Membership: member}, want: doConfirm},
		"member, removed, but of another federation":      {member: in(func(m *memberSituation) { m.listed = false }), shared: identity.SharedState{}, want: doPublishState},
		"member, the datacenter is not in the catalog":    {member: in(func(m *memberSituation) { m.listed, m.datacenterListed = false, false }), shared: identity.SharedState{Membership: member}, want: doPublishState},
		"member, no leader yet":                           {member: in(func(m *memberSituation) { m.leader = false }), shared: identity.SharedState{Membership: member}, want: doPublishState},
		"member, no leader for less than the grace":       {history: history{leaderlessSince: now.Add(1 - cutOffGrace)}, member: in(func(m *memberSituation) { m.leader = false }), shared: identity.SharedState{Membership: member}, want: doPublishState},
		"member, no leader for the grace":                 {history: history{leaderlessSince: now.Add(-cutOffGrace)}, member: in(func(m *memberSituation) { m.leader = false }), shared: identity.SharedState{Membership: member}, want: doConfirm},
		"member, no leader, of another federation":        {history: history{leaderlessSince: now.Add(-cutOffGrace)}, member: in(func(m *memberSituation) { m.leader = false }), shared: identity.SharedState{Membership: &identity.DatacenterMembership{FederationID: "g"}}, want: doPublishState},
		"member, no leader for the grace, but locked":     {history: history{leaderlessSince: now.Add(-cutOffGrace)}, member: in(func(m *memberSituation) { m.leader = false }), shared: identity.SharedState{Membership: member, Lock: other}, want: doNothing},
		"member, no leader for the grace, but it is left": {history: history{leaderlessSince: now.Add(-cutOffGrace)}, member: in(func(m *memberSituation) { m.leader = false }), shared: identity.SharedState{Left: "f"}, want: doDismantle},
	} {
		t.Run(name, func(t *testing.T) {
			s := situation{now: now, gateway: "a", token: c.token, siblings: !c.alone, guards: c.guards, shared: c.shared, sharedErr: c.stateErr, member: c.member}
			d, after := decide(c.history, s)
			assert.Equal(t, c.want, d.action)
			again, _ := decide(c.history, s)
			assert.Equal(t, d, again, "a decision is a function of its input")
			assert.Equal(t, c.history.joined || c.member != nil, after.joined)
		})
	}
}

// decideOver makes one decision each second while the situation stays, and
// returns at which seconds the condition held.
func decideOver(seconds int, s situation, holds func(decision) bool) []int {
	var at []int
	h, start := history{}, time.Now()
	for second := range seconds {
		s.now = start.Add(time.Duration(second) * time.Second)
		var d decision
		if d, h = decide(h, s); holds(d) {
			at = append(at, second)
		}
	}
	return at
}

func TestListingIsConfirmedOnlyAfterASilence(t *testing.T) {
	silent := situation{
		gateway:  "a",
		siblings: true,
		shared:   identity.SharedState{Membership: &identity.DatacenterMembership{FederationID: "f"}},
		member:   &memberSituation{federationID: "f", listed: true, datacenterListed: true},
	}
	confirms := func(d decision) bool { return d.action == doConfirm }
	assert.Equal(t, []int{15, 16}, decideOver(17, silent, confirms), "a leader may just be elected")

	h := history{leaderlessSince: time.Now()}
	led := silent
	in := *silent.member
	in.leader, led.member, led.now = true, &in, time.Now()
	_, h = decide(h, led)
	assert.Zero(t, h.leaderlessSince, "the silence starts again")
}

func TestRemovalIsCheckedAfterASilenceAndThenAtAnInterval(t *testing.T) {
	cutOff := situation{member: &memberSituation{cutOff: true}}
	assert.Equal(t, []int{15, 75, 135}, decideOver(150, cutOff, func(d decision) bool { return d.checkRemoval }))
	connected := situation{member: &memberSituation{}}
	assert.Empty(t, decideOver(150, connected, func(d decision) bool { return d.checkRemoval }))
	d, h := decide(history{cutOffSince: time.Now()}, connected)
	assert.True(t, d.connected)
	assert.Zero(t, h.cutOffSince)
}

func TestGatewaysAreAbsentAfterAnUninterruptedGrace(t *testing.T) {
	in := memberSituation{
		federationID: "f", leader: true, listed: true, datacenterListed: true,
		hosts: []string{"a", "b"}, hostsKnown: true, gateways: []string{"a", "b", "c"},
	}
	s := situation{gateway: "a", siblings: true, member: &in}
	absent := func(d decision) bool { return len(d.absent) > 0 }
	assert.Equal(t, []int{60, 61}, decideOver(62, s, absent))

	at := time.Now()
	long := history{absentSince: map[string]time.Time{"c": at.Add(-time.Hour), "d": at.Add(-time.Hour)}}
	s.now = at
	d, h := decide(long, s)
	assert.Equal(t, []string{"c"}, d.absent, "d is not in the catalog any longer")
	assert.NotContains(t, h.absentSince, "d")
	for name, change := range map[string]func(*memberSituation){
		"the hosts are unknown":       func(m *memberSituation) { m.hostsKnown = false },
		"this host is no gateway":     func(m *memberSituation) { m.hosts = []string{"b"} },
		"the host is a gateway again": func(m *memberSituation) { m.hosts = []string{"a", "b", "c"} },
	} {
		t.Run(name, func(t *testing.T) {
			changed := in
			change(&changed)
			d, h := decide(long, situation{now: at, gateway: "a", siblings: true, member: &changed})
			assert.Empty(t, d.absent)
			assert.Empty(t, h.absentSince, "the grace starts again")
		})
	}
}

func TestOutcomesOfDecisionsAreInTheHistory(t *testing.T) {
	now := time.Now()
	var h history
	assert.Equal(t, retryInterval, h.retryAfter())
	for range 20 {
		h = h.after(outcome{failed: true})
	}
	assert.Equal(t, maxRetryInterval, h.retryAfter())
	h = h.after(outcome{refusedToken: "token", stateWritten: true, stateErr: assert.AnError, at: now})
	assert.Equal(t, history{refusedToken: "token", stateFailedSince: now}, h)
	assert.Equal(t, h, h.after(outcome{stateWritten: true, stateErr: assert.AnError, at: now.Add(time.Hour)}), "since the first failure")
	assert.Equal(t, h, h.after(outcome{}), "nothing was written")
	assert.Equal(t, history{refusedToken: "token"}, h.after(outcome{stateWritten: true, at: now}))
}

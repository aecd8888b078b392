package membership

import (
	"maps"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/identity"
)

const (
	// checkInterval bounds the time between two passes of a member.
	checkInterval = 5 * time.Second
	// retryInterval is the time after the first failed attempt to become a member;
	// it doubles up to maxRetryInterval, which is short, so that a token that
	// arrives late is used soon.
	retryInterval, maxRetryInterval = time.Second, 10 * time.Second
	// cutOffGrace is how long a gateway has no leader, or no tunnel, before it
	// checks whether it was removed.
	cutOffGrace = 15 * time.Second
	// removalCheckInterval is the time between two such requests.
	removalCheckInterval = time.Minute
	// absenceGrace is how long a host is no gateway before the others remove it.
	absenceGrace = time.Minute
)

// action is what the reconciler does next about the membership of this gateway.
type action string

const (
	doNothing      action = "nothing"
	doRetry        action = "retry"           // the situation is not known well enough
	doEnrol        action = "enrol"           // the datacenter is a member, this gateway is not
	doJoin         action = "join"            // by the configured token
	doRelease      action = "release"         // the guard that a leave left is to end
	doDismantle    action = "dismantle"       // the datacenter has left
	doConfirm      action = "confirm listing" // check whether the catalog of the federation still lists this gateway; if not, enrol again
	doPublishState action = "publish state"   // write the catalog's content to the shared state
)

// situation is everything that a decision depends on, at one time.
type situation struct {
	now      time.Time
	gateway  string // name of this gateway
	token    bool   // a join token is configured
	siblings bool   // the datacenter can have several gateways
	guards   bool   // the federation that was left
	// The shared state, if siblings is set, or why it is unknown.
	shared    identity.SharedState
	sharedErr error
	member    *memberSituation // nil: this gateway is in no federation
}

// memberSituation is the part of a situation that only a member has.
type memberSituation struct {
	federationID     string
	busy             bool // a command runs on this gateway
	leader           bool // the catalog has a leader
	listed           bool // the catalog has this gateway
	datacenterListed bool
	cutOff           bool     // no leader, or no tunnel is up
	hosts            []string // that are to be gateways of the datacenter
	hostsKnown       bool
	gateways         []string // of the datacenter in the catalog
}

// history is what decisions depend on besides the situation: since when conditions
// hold, and how earlier decisions ended. decide and after alone change it. The zero
// value is that of a start.
type history struct {
	joined           bool                 // this gateway has been a member: the token is used
	leaderlessSince  time.Time            // zero: there is a leader
	cutOffSince      time.Time            // zero: it is not cut off
	removalChecked   time.Time            // last time that removal was checked
	stateFailedSince time.Time            // since when the shared state cannot be read or written; zero: it can
	absentSince      map[string]time.Time // since when a gateway of the catalog is no gateway host
	failures         int                  // consecutive failed attempts to become a member
	refusedToken     string               // the token that would be refused again
}

// outcome is what the execution of a decision resulted in, as far as later decisions
// depend on it.
type outcome struct {
	failed       bool   // the gateway is to be a member and is not: decide again soon
	refusedToken string // a token that would be refused again; empty: none
	stateWritten bool   // the shared state was written, unless stateErr is set
	stateErr     error
	at           time.Time // of the write
}

// after returns the history of the next decision after the outcome of this one.
func (h history) after(o outcome) history {
	h.failures++
	if !o.failed {
		h.failures = 0
	}
	if o.refusedToken != "" {
		h.refusedToken = o.refusedToken
	}
	switch {
	case !o.stateWritten:
	case o.stateErr == nil:
		h.stateFailedSince = time.Time{}
	case h.stateFailedSince.IsZero():
		h.stateFailedSince = o.at
	}
	return h
}

// retryAfter returns the time after a failed attempt to become a member.
func (h history) retryAfter() time.Duration {
	return min(retryInterval<<min(h.failures, 10), maxRetryInterval)
}

// decision is what to do in a situation.
type decision struct {
	action       action
	checkRemoval bool     // check with other datacenters whether this one was removed
	connected    bool     // a member has a leader and a tunnel: it was not removed
	absent       []string // gateways to remove from the catalog, if another reading confirms it
}

// decide returns what to do in situation s after history h, and the history of
// the next decision.
func decide(h history, s situation) (decision, history) {
	if s.sharedErr != nil && h.stateFailedSince.IsZero() {
		h.stateFailedSince = s.now
	}
	if s.member == nil {
		if s.sharedErr == nil {
			h.stateFailedSince = time.Time{} // a member clears it after a write
		}
		h.leaderlessSince, h.cutOffSince = time.Time{}, time.Time{}
		return decision{action: decideOutside(h, s)}, h
	}
	h.joined = true
	var d decision
	d.checkRemoval, d.connected, h = decideRemovalCheck(h, s)
	if !s.siblings {
		d.action = doNothing
		return d, h
	}
	d.action, h = decideInside(h, s)
	if d.action == doPublishState || d.action == doConfirm {
		d.absent, h = decideAbsent(h, s)
	}
	return d, h
}

// decideOutside decides for a gateway that is in no federation.
func decideOutside(h history, s situation) action {
	switch {
	case s.sharedErr != nil:
		return doRetry
	case s.shared.LockedByOther(s.gateway, s.now):
		return doRetry // that gateway may be leaving the federation for the datacenter
	case s.shared.Membership != nil:
		return doEnrol
	case s.guards && s.shared.Released:
		return doRelease
	case s.token && !h.joined:
		return doJoin
	}
	return doNothing
}

// decideInside decides for a member whose datacenter has a shared state.
func decideInside(h history, s situation) (action, history) {
	m := s.member
	own := s.shared.LockedBy(s.gateway)
	switch {
	case s.sharedErr != nil, own && m.busy:
		return doNothing, h
	case s.shared.Left == m.federationID && !own:
		return doDismantle, h
	case s.shared.LockedByOther(s.gateway, s.now):
		return doNothing, h // that gateway may be leaving for the datacenter, and so for this gateway
	}
	// A gateway that was removed no longer receives anything, so it checks after
	// it had no leader for a while.
	if m.leader && (m.listed || !m.datacenterListed) {
		h.leaderlessSince = time.Time{}
		return doPublishState, h
	}
	if h.leaderlessSince.IsZero() {
		h.leaderlessSince = s.now
	}
	waited := s.now.Sub(h.leaderlessSince) >= cutOffGrace || m.datacenterListed && !m.listed
	if waited && s.shared.Membership != nil && s.shared.Membership.FederationID == m.federationID {
		return doConfirm, h
	}
	return doPublishState, h
}

// decideRemovalCheck decides whether a member checks with other datacenters if
// its own was removed: after it was cut off for a while, and then at an interval.
func decideRemovalCheck(h history, s situation) (check, connected bool, after history) {
	if !s.member.cutOff {
		h.cutOffSince = time.Time{}
		return false, true, h
	}
	if h.cutOffSince.IsZero() {
		h.cutOffSince, h.removalChecked = s.now, time.Time{}
	}
	check = s.now.Sub(h.cutOffSince) >= cutOffGrace && s.now.Sub(h.removalChecked) >= removalCheckInterval
	if check {
		h.removalChecked = s.now
	}
	return check, false, h
}

// decideAbsent returns the gateways of the datacenter whose hosts have been no
// gateways for absenceGrace without interruption.
func decideAbsent(h history, s situation) ([]string, history) {
	m := s.member
	if !m.hostsKnown || !slices.Contains(m.hosts, s.gateway) {
		h.absentSince = nil
		return nil, h
	}
	before := h.absentSince
	h.absentSince = map[string]time.Time{}
	for _, name := range m.gateways {
		if slices.Contains(m.hosts, name) {
			continue
		}
		h.absentSince[name] = s.now
		if since, ok := before[name]; ok {
			h.absentSince[name] = since
		}
	}
	var absent []string
	for _, name := range slices.Sorted(maps.Keys(h.absentSince)) {
		if s.now.Sub(h.absentSince[name]) >= absenceGrace {
			absent = append(absent, name)
		}
	}
	return absent, h
}

package membership

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// clockTolerance is how far the clock may be before a time that has passed.
	clockTolerance = time.Hour
	// lostAfter is how long there is no leader until the status mentions that the
	// catalog can be recovered without the voters that are lost.
	lostAfter = time.Hour
)

// leadership is what is known when the catalog has no leader.
type leadership struct {
	self    catalog.GatewayID
	now     time.Time
	status  consensus.Status // with the peers that are healthy as seen from here
	passed  moment
	expires time.Time // of the CA of this datacenter; zero: not known
	since   time.Time // of the last message of the leader, or of the start of the agent
	lost    bool      // an operator removes a datacenter that is permanently lost
}

// moment is a time that has passed.
type moment struct {
	at   time.Time
	what string
}

// latest returns the latest of some moments; zero times are not known.
func latest(moments ...moment) moment {
	return slices.MaxFunc(moments, func(a, b moment) int { return a.at.Compare(b.at) })
}

// problems returns the problem of the clock, and that of a catalog without a leader.
// Only the second one may have a remedy that gives up data, and only if the first one
// and all others are excluded.
func (l leadership) problems() []plan.Problem {
	var out []plan.Problem
	clock, wrong := l.clock()
	if wrong {
		out = append(out, clock)
	}
	if l.status.Leader != "" {
		return out
	}
	p := plan.Problem{
		Code:     "no-leader",
		Severity: plan.Error,
		Subject:  "catalog",
		Message:  "the catalog has no leader: nothing can be written; traffic is not affected",
	}
	unreachable, quorum := l.unreachable()
	switch {
	case wrong:
		p.Remedy = clock.Remedy
	case len(unreachable) == 0:
		p.Remedy = "if this lasts for more than a minute, check on the voters (meshctl raft list-peers) that meshd runs, that TCP to their control ports passes, and that their clocks are right"
	case quorum:
		p.Message = "the catalog has no leader although the tunnels to most of its voters work: nothing can be written; traffic is not affected"
		p.Remedy = "check on the voters (meshctl raft list-peers) that meshd runs, that TCP to their control ports passes through and outside of the tunnels, and that their clocks are right"
	default:
		p.Message = fmt.Sprintf("the catalog has no leader, because this gateway cannot reach its voters %s: nothing can be written; traffic is not affected", strings.Join(ids(unreachable), ", "))
		p.Remedy = "start meshd on them, and restore the network between them and this gateway, until most voters (meshctl raft list-peers) are reached"
	}
	if !wrong && (l.lost || l.now.Sub(l.since) >= lostAfter) {
		p.Remedy += "; only if the disks of most voters are lost, so that they cannot be started again, see meshctl raft recover --help, in Kubernetes with the --context of this cluster"
	}
	return append(out, p)
}

// clock reports whether the clock of this host is certainly wrong, so that gateways
// refuse each other's certificates.
func (l leadership) clock() (plan.Problem, bool) {
	p := plan.Problem{
		Code:     "clock-wrong",
		Severity: plan.Error,
		Subject:  "gateway " + string(l.self),
		Remedy:   "set the clock of this host (timedatectl status shows it); the rest recovers by itself",
	}
	const consequence = "the gateways refuse each other's certificates"
	switch {
	case !l.passed.at.IsZero() && l.now.Add(clockTolerance).Before(l.passed.at):
		p.Message = fmt.Sprintf("the clock of gateway %s shows a time before %s, when %s: %s",
			l.self, l.passed.at.UTC().Format(time.RFC3339), l.passed.what, consequence)
		return p, true
	case !l.expires.IsZero() && l.now.After(l.expires):
		p.Code = "certificate-expired"
		p.Message = fmt.Sprintf("the certificate of the CA of datacenter %s expired at %s by the clock of this host: %s",
			l.self.Datacenter(), l.expires.UTC().Format(time.RFC3339), consequence)
		p.Remedy = "check the clock of this host first (timedatectl status shows it); " +
			"if it is right, let the datacenter leave and join it again (meshctl leave, meshctl join), one datacenter at a time"
		return p, true
	}
	return plan.Problem{}, false
}

// unreachable returns the voters that this gateway does not reach, and whether those
// that it reaches, with itself, are a quorum.
func (l leadership) unreachable() (voters []catalog.GatewayID, quorum bool) {
	all, reached := 0, 0
	for _, p := range l.status.Peers {
		switch {
		case !p.Voter:
			continue
		case p.ID == l.self || p.Healthy:
			reached++
		default:
			voters = append(voters, p.ID)
		}
		all++
	}
	return voters, reached > all/2
}

func ids(gateways []catalog.GatewayID) []string {
	out := make([]string, 0, len(gateways))
	for _, id := range gateways {
		out = append(out, string(id))
	}
	return out
}

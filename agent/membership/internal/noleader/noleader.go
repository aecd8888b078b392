// Package noleader judges why the catalog has no leader, and returns the problems, whose
// remedy gives up data only after every other cause is excluded.
package noleader

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meshway/meshway/agent/control"
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

// Leadership is what is known when the catalog has no leader.
type Leadership struct {
	Self    catalog.GatewayID
	Now     time.Time
	Status  consensus.Status // with the peers that are healthy as seen from here
	Passed  Moment
	Expires time.Time // of the CA of this datacenter; zero: not known
	Since   time.Time // of the last message of the leader, or of the start of the agent
	Lost    bool      // an operator removes a datacenter that is permanently lost
	Differ  []control.ClockDifference
	Others  int // gateways of the federation beside this one
}

// Moment is a time that has passed.
type Moment struct {
	At   time.Time
	What string
}

// Latest returns the latest of some moments; zero times are not known.
func Latest(moments ...Moment) Moment {
	return slices.MaxFunc(moments, func(a, b Moment) int { return a.At.Compare(b.At) })
}

// Problems returns the problem of the clock, and that of a catalog without a leader.
// Only the second one may have a remedy that gives up data, and only if the first one
// and all others are excluded.
func (l Leadership) Problems() []plan.Problem {
	var out []plan.Problem
	clock, wrong := l.clock()
	if wrong {
		out = append(out, clock)
	} else {
		out = append(out, l.otherClocks()...)
	}
	if l.Status.Leader != "" {
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
	case len(l.Differ) > 0:
		p.Remedy = l.otherClocks()[0].Remedy
	case len(unreachable) == 0:
		p.Remedy = "if this lasts for more than a minute, check on the voters (meshctl raft list-peers) that meshd runs, that TCP to their control ports passes, and that their clocks are right"
	case quorum:
		p.Message = "the catalog has no leader although the tunnels to most of its voters work: nothing can be written; traffic is not affected"
		p.Remedy = "check on the voters (meshctl raft list-peers) that meshd runs, that TCP to their control ports passes through and outside of the tunnels, and that their clocks are right"
	default:
		p.Message = fmt.Sprintf("the catalog has no leader, because this gateway cannot reach its voters %s: nothing can be written; traffic is not affected", strings.Join(ids(unreachable), ", "))
		p.Remedy = "start meshd on them, and restore the network between them and this gateway, until most voters (meshctl raft list-peers) are reached"
	}
	if !wrong && len(l.Differ) == 0 && (l.Lost || !quorum && l.Now.Sub(l.Since) >= lostAfter) {
		p.Remedy += "; only if the disks of most voters are lost, so that they cannot be started again, see meshctl raft recover --help, in Kubernetes with the --context of this cluster"
	}
	return append(out, p)
}

// clock reports whether the clock of this host is certainly wrong, so that gateways
// refuse each other's certificates.
func (l Leadership) clock() (plan.Problem, bool) {
	p := plan.Problem{
		Code:     "clock-wrong",
		Severity: plan.Error,
		Subject:  plan.GatewaySubject(l.Self),
		Remedy:   "set the clock of this host (timedatectl status shows it); the rest recovers by itself",
	}
	const consequence = "the gateways refuse each other's certificates"
	switch {
	case !l.Passed.At.IsZero() && l.Now.Add(clockTolerance).Before(l.Passed.At):
		p.Message = fmt.Sprintf("the clock of gateway %s shows a time before %s, when %s: %s",
			l.Self, l.Passed.At.UTC().Format(time.RFC3339), l.Passed.What, consequence)
		return p, true
	case !l.Expires.IsZero() && l.Now.After(l.Expires):
		p.Code = "certificate-expired"
		p.Message = fmt.Sprintf("the certificate of the CA of datacenter %s expired at %s by the clock of this host: %s",
			l.Self.Datacenter(), l.Expires.UTC().Format(time.RFC3339), consequence)
		p.Remedy = "check the clock of this host first (timedatectl status shows it); " +
			"if it is right, let the datacenter leave and join it again (meshctl leave, meshctl join), one datacenter at a time"
		return p, true
	case l.differsFromMost():
		d := l.Differ[0]
		p.Message = fmt.Sprintf("the clock of gateway %s shows %s, and differs from those of %d of the %d other gateways (the certificate of %s is valid from %s to %s): %s",
			l.Self, text(l.Now), len(l.Differ), l.Others, d.Gateway, text(d.NotBefore), text(d.NotAfter), consequence)
		return p, true
	}
	return plan.Problem{}, false
}

// differsFromMost reports whether most of several other gateways have another time.
func (l Leadership) differsFromMost() bool { return len(l.Differ) > 1 && 2*len(l.Differ) > l.Others }

// otherClocks returns a problem for each gateway whose clock differs, if that of this host
// is not certainly wrong. Of two gateways, either one may be wrong.
func (l Leadership) otherClocks() []plan.Problem {
	var out []plan.Problem
	for _, d := range l.Differ {
		p := plan.Problem{
			Code:     "clock-wrong",
			Severity: plan.Warning,
			Subject:  plan.GatewaySubject(d.Gateway),
			Message: fmt.Sprintf("the clock of gateway %s is wrong: its certificate is valid from %s to %s, and this host's clock shows %s, as others do: the gateways refuse each other's certificates",
				d.Gateway, text(d.NotBefore), text(d.NotAfter), text(l.Now)),
			Remedy: fmt.Sprintf("set the clock of gateway %s (timedatectl status shows it); the rest recovers by itself", d.Gateway),
		}
		if l.Others < 2 {
			p.Message = fmt.Sprintf("the clocks of gateways %s and %s differ: the certificate of %s is valid from %s to %s, and this host's clock shows %s: the gateways refuse each other's certificates",
				l.Self, d.Gateway, d.Gateway, text(d.NotBefore), text(d.NotAfter), text(l.Now))
			p.Remedy = "compare the clocks of both hosts (timedatectl status shows them), and set the wrong one; the rest recovers by itself"
		}
		out = append(out, p)
	}
	return out
}

func text(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// unreachable returns the voters that this gateway does not reach, and whether those
// that it reaches, with itself, are a quorum.
func (l Leadership) unreachable() (voters []catalog.GatewayID, quorum bool) {
	all, reached := 0, 0
	for _, p := range l.Status.Peers {
		switch {
		case !p.Voter:
			continue
		case p.ID == l.Self || p.Healthy:
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

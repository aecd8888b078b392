package quorum

import (
	"fmt"
	"time"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// removalGrace is how long a datacenter must not have answered to be removed
// without force. It is longer than a restart of its gateways.
const removalGrace = time.Minute

// DatacenterRemoval is a request to remove a datacenter, and what the leader has observed
// of it.
type DatacenterRemoval struct {
	Datacenter  catalog.DatacenterName
	Force       bool
	Answered    time.Time // the last answer to this leader; zero: none
	LeaderSince time.Time
	Now         time.Time
}

// Refusal returns the reason why the datacenter must stay; nil: it may be
// removed. It does not check that the datacenter exists, which the catalog does.
func (r DatacenterRemoval) Refusal(members []Member) *catalog.Refusal {
	present, voters, votes, rest := false, 0, 0, 0
	for _, m := range members {
		own := m.Datacenter == r.Datacenter
		if own && m.Leader {
			return r.refuseLeading(m.ID)
		}
		present = present || own
		if !m.Voter {
			continue
		}
		voters++
		switch {
		case own:
			votes++
		case m.Healthy:
			rest++
		}
	}
	switch {
	case !present:
		return nil
	case !r.Force && r.Now.Sub(r.silentSince()) < removalGrace:
		return r.refuseAnswering()
	case votes > 0 && rest <= voters/2:
		return r.refuseVotesNeeded(votes, voters, rest)
	}
	return nil
}

// Alive reports whether the datacenter has answered lately.
func (r DatacenterRemoval) Alive() bool { return r.Now.Sub(r.Answered) < removalGrace }

// RefuseUnconfirmed returns the refusal of the first of two requests that it takes to
// remove a datacenter that is alive; by is the datacenter that has made it.
func (r DatacenterRemoval) RefuseUnconfirmed(by catalog.DatacenterName) *catalog.Refusal {
	return &catalog.Refusal{
		Code: consensus.CodeConfirmationNeeded, Field: "datacenter",
		Message: fmt.Sprintf("datacenter %s is alive, and only datacenter %s has requested its removal: a second one has to request it too; datacenters that invited each other in the last week, or that a third one invited, count as one", r.Datacenter, by),
		Remedy: fmt.Sprintf("run meshctl datacenter remove %s --force on a gateway of another datacenter within ten minutes; "+
			"or run meshctl leave on a gateway of %s; or keep its packets from the other gateways for a minute, after which one request suffices", r.Datacenter, r.Datacenter),
	}
}

// silentSince returns since when the datacenter has not answered. A leader
// receives answers only while it leads.
func (r DatacenterRemoval) silentSince() time.Time {
	if r.Answered.After(r.LeaderSince) {
		return r.Answered
	}
	return r.LeaderSince
}

func (r DatacenterRemoval) refuseAnswering() *catalog.Refusal {
	since, ago := r.silentSince().UTC().Format(time.RFC3339), r.Now.Sub(r.silentSince()).Round(time.Second)
	message := fmt.Sprintf("datacenter %s last answered the catalog's leader at %s, %s ago: it may be running", r.Datacenter, since, ago)
	if !r.Answered.After(r.LeaderSince) {
		message = fmt.Sprintf("datacenter %s has not answered the catalog's leader, which leads only since %s, %s ago", r.Datacenter, since, ago)
	}
	return &catalog.Refusal{
		Code: consensus.CodeDatacenterActive, Field: "datacenter", Message: message,
		Remedy: fmt.Sprintf("if it is running, run meshctl leave on one of its gateways; if it is gone, retry when it has not answered for %s, or add --force", removalGrace),
	}
}

func (r DatacenterRemoval) refuseLeading(id catalog.GatewayID) *catalog.Refusal {
	return &catalog.Refusal{
		Code: consensus.CodeDatacenterLeads, Field: "datacenter",
		Message: fmt.Sprintf("gateway %s leads the catalog, so datacenter %s is running", id, r.Datacenter),
		Remedy: "run meshctl leave on one of its gateways; or transfer leadership with meshctl raft transfer-leader, " +
			"and retry",
	}
}

func (r DatacenterRemoval) refuseVotesNeeded(votes, voters, rest int) *catalog.Refusal {
	return &catalog.Refusal{
		Code: consensus.CodeVotesNeeded, Field: "datacenter",
		Message: fmt.Sprintf("datacenter %s has %d of the %d votes on the catalog, and only %d voters of other datacenters answer: "+
			"without it they would have no quorum", r.Datacenter, votes, voters, rest),
		Remedy: "bring back another voter first (meshctl raft list-peers); if the datacenter is running, run meshctl leave on one of its gateways; " +
			"if the voters are lost permanently, see meshctl raft recover --help",
	}
}

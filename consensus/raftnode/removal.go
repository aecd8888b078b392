package raftnode

import (
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// removalGrace is how long a datacenter must not have answered to be removed
// without force. It is longer than a restart of its gateways.
const removalGrace = time.Minute

// removal is a request to remove a datacenter, and what the leader has observed
// of it.
type removal struct {
	datacenter  catalog.DatacenterName
	force       bool
	answered    time.Time // the last answer to this leader; zero: none
	leaderSince time.Time
	now         time.Time
}

// checkRemoval checks a removal of a datacenter before it is in the log: after
// that entry its gateways are not trusted, so that a datacenter whose votes are
// needed could not be removed from raft either. The error is a *catalog.Refusal,
// or matches consensus.ErrNotLeader if the caller has to retry.
func (n *Node) checkRemoval(cmd *catalogpb.Command, now time.Time) error {
	body := cmd.GetRemoveDatacenter()
	dc := catalog.DatacenterName(body.GetDatacenter())
	if body == nil || dc == catalog.GatewayID(cmd.GetAuthor()).Datacenter() {
		return nil // the catalog refuses the latter
	}
	inst, lead := n.serving()
	if lead == nil || now.Sub(lead.began) < inst.timers.contactThreshold() {
		return fmt.Errorf("%w for long enough: not all members have answered yet", consensus.ErrNotLeader)
	}
	r := removal{datacenter: dc, force: body.GetForce(), leaderSince: lead.began, now: now}
	members := lead.members()
	contacts, _ := n.contacts.all()
	for _, m := range members {
		if at := contacts[raft.ServerID(m.id)].at; m.datacenter == r.datacenter && at.After(r.answered) {
			r.answered = at
		}
	}
	if refusal := r.refusal(members); refusal != nil {
		return refusal
	}
	n.log.Info("removing a datacenter from the catalog", "datacenter", r.datacenter, "gateway", cmd.GetAuthor(), "force", r.force)
	return nil
}

// refusal returns the reason why the datacenter must stay; nil: it may be
// removed. It does not check that the datacenter exists, which the catalog does.
func (r removal) refusal(members []member) *catalog.Refusal {
	present, voters, votes, rest := false, 0, 0, 0
	for _, m := range members {
		own := m.datacenter == r.datacenter
		if own && m.leader {
			return r.refuseLeading(m.id)
		}
		present = present || own
		if !m.voter {
			continue
		}
		voters++
		switch {
		case own:
			votes++
		case m.healthy:
			rest++
		}
	}
	switch {
	case !present:
		return nil
	case !r.force && r.now.Sub(r.silentSince()) < removalGrace:
		return r.refuseAnswering()
	case votes > 0 && rest <= voters/2:
		return r.refuseVotesNeeded(votes, voters, rest)
	}
	return nil
}

// silentSince returns since when the datacenter has not answered. A leader
// receives answers only while it leads.
func (r removal) silentSince() time.Time {
	if r.answered.After(r.leaderSince) {
		return r.answered
	}
	return r.leaderSince
}

func (r removal) refuseAnswering() *catalog.Refusal {
	since, ago := r.silentSince().UTC().Format(time.RFC3339), r.now.Sub(r.silentSince()).Round(time.Second)
	message := fmt.Sprintf("datacenter %s last answered the catalog's leader at %s, %s ago: it may be running", r.datacenter, since, ago)
	if !r.answered.After(r.leaderSince) {
		message = fmt.Sprintf("datacenter %s has not answered the catalog's leader, which leads only since %s, %s ago", r.datacenter, since, ago)
	}
	return &catalog.Refusal{
		Code: consensus.CodeDatacenterActive, Field: "datacenter", Message: message,
		Remedy: fmt.Sprintf("if it is running, run meshctl leave on one of its gateways; if it is gone, retry when it has not answered for %s, or add --force", removalGrace),
	}
}

func (r removal) refuseLeading(id catalog.GatewayID) *catalog.Refusal {
	return &catalog.Refusal{
		Code: consensus.CodeDatacenterLeads, Field: "datacenter",
		Message: fmt.Sprintf("gateway %s leads the catalog, so datacenter %s is running", id, r.datacenter),
		Remedy: "run meshctl leave on one of its gateways; or transfer leadership with meshctl raft transfer-leader, " +
			"and retry",
	}
}

func (r removal) refuseVotesNeeded(votes, voters, rest int) *catalog.Refusal {
	return &catalog.Refusal{
		Code: consensus.CodeVotesNeeded, Field: "datacenter",
		Message: fmt.Sprintf("datacenter %s has %d of the %d votes on the catalog, and only %d voters of other datacenters answer: "+
			"without it they would have no quorum", r.datacenter, votes, voters, rest),
		Remedy: "bring back another voter first (meshctl raft list-peers); if the datacenter is running, run meshctl leave on one of its gateways; " +
			"if the voters are lost permanently, see meshctl raft recover (meshd recover)",
	}
}

package raftnode

import (
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// removalGrace is how long a datacenter must have been silent to be removed
// without force: longer than a restart of its gateways.
const removalGrace = time.Minute

// removal is what the leader knows of a datacenter that is to be removed.
type removal struct {
	datacenter catalog.DatacenterName
	force      bool
	heard      time.Time // last sign of life; zero: none to this leader
	led        time.Time // since when there is this leader
	now        time.Time
}

// checkRemoval stands before the log, as catalog.Check does: trust ends with the
// entry, so a datacenter whose votes are needed could not even be removed from raft
// any more. An error is a *catalog.Refusal, or ErrNotLeader: ask again.
func (n *Node) checkRemoval(cmd *catalogpb.Command, now time.Time) error {
	body := cmd.GetRemoveDatacenter()
	dc := catalog.DatacenterName(body.GetDatacenter())
	if body == nil || dc == catalog.GatewayID(cmd.GetAuthor()).Datacenter() {
		return nil // the latter is for the catalog to refuse
	}
	inst, lead := n.serving()
	if lead == nil || now.Sub(lead.began) < inst.timers.contactThreshold() {
		return fmt.Errorf("%w for long: not everybody was heard yet", consensus.ErrNotLeader)
	}
	r := removal{datacenter: dc, force: body.GetForce(), led: lead.began, now: now}
	members := n.members(inst, lead)
	contacts, _ := n.contacts.snapshot()
	for _, m := range members {
		if at := contacts[raft.ServerID(m.id)].at; m.datacenter == r.datacenter && at.After(r.heard) {
			r.heard = at
		}
	}
	if refusal := r.refusal(members); refusal != nil {
		return refusal
	}
	n.log.Info("removing a datacenter", "datacenter", r.datacenter, "by", cmd.GetAuthor(), "force", r.force)
	return nil
}

// refusal says why the datacenter has to stay; nil: as far as raft goes it need
// not. That there is no such datacenter is the catalog's to say.
func (r removal) refusal(members []member) *catalog.Refusal {
	present, voters, votes, rest := false, 0, 0, 0
	for _, m := range members {
		own := m.datacenter == r.datacenter
		if own && m.leader {
			return r.leads(m.id)
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
	case !r.force && r.now.Sub(r.silent()) < removalGrace:
		return r.wasHeard()
	case votes > 0 && rest <= voters/2:
		return r.votesNeeded(votes, voters, rest)
	}
	return nil
}

// silent is since when the datacenter is known to be. A new leader has not
// listened for longer than it leads.
func (r removal) silent() time.Time {
	if r.heard.After(r.led) {
		return r.heard
	}
	return r.led
}

func (r removal) wasHeard() *catalog.Refusal {
	since, ago := r.silent().UTC().Format(time.RFC3339), r.now.Sub(r.silent()).Round(time.Second)
	message := fmt.Sprintf("the catalog's leader heard %s at %s, %s ago: it may be alive", r.datacenter, since, ago)
	if !r.heard.After(r.led) {
		message = fmt.Sprintf("the catalog's leader listens to %s only since %s, %s ago, and has not heard it", r.datacenter, since, ago)
	}
	return &catalog.Refusal{
		Code: consensus.CodeDatacenterHeard, Field: "datacenter", Message: message,
		Remedy: fmt.Sprintf("if it runs, run meshctl leave over there; if it is gone, try again when it has been silent for %s, or add --force", removalGrace),
	}
}

func (r removal) leads(id catalog.GatewayID) *catalog.Refusal {
	return &catalog.Refusal{
		Code: consensus.CodeDatacenterLeads, Field: "datacenter", Message: fmt.Sprintf("its gateway %s leads the catalog, so it is alive", id),
		Remedy: "run meshctl leave over there; or let another one lead with meshctl raft transfer-leader, and try again",
	}
}

func (r removal) votesNeeded(votes, voters, rest int) *catalog.Refusal {
	return &catalog.Refusal{
		Code: consensus.CodeVotesNeeded, Field: "datacenter",
		Message: fmt.Sprintf("%s holds %d of %d votes on the catalog, and only %d voters elsewhere answer: they could decide nothing any more",
			r.datacenter, votes, voters, rest),
		Remedy: "bring back another voter first (meshctl raft list-peers); if it runs, run meshctl leave over there; " +
			"if the voters are lost for good, see meshctl raft recover (meshd recover)",
	}
}

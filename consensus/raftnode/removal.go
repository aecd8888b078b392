package raftnode

import (
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/budget"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/raftnode/internal/quorum"
)

// check checks a command before it is in the log, by rules that depend on what only the leader has
// observed, or that a member of an earlier build does not have. Errors are those of checkRemoval.
func (n *Node) check(cmd *catalogpb.Command, now time.Time) error {
	t, ok := n.View().Token(cmd.GetJoin().GetTokenId())
	if refusal := quorum.CheckInviter(t, catalog.GatewayID(cmd.GetAuthor())); ok && refusal != nil {
		return refusal
	}
	if refusal := n.safeguards.requests.Members(cmd, n.View(), n.cfg.Host.Now(), now); refusal != nil {
		return refusal
	}
	if consensus.OfLeader(cmd) && cmd.GetClient() != "" {
		return catalog.Malformed("body", "only the leader records requests")
	}
	return n.checkRemoval(cmd, now)
}

// checkRemoval checks a removal of a datacenter before it is in the log: after that entry its gateways
// are not trusted, so that a datacenter whose votes are needed could not be removed from raft either.
// The error is a *catalog.Refusal, or matches consensus.ErrNotLeader if the caller has to retry.
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
	r := quorum.DatacenterRemoval{Datacenter: dc, Force: body.GetForce(), LeaderSince: lead.began, Now: now}
	members := lead.members()
	contacts, _ := n.contacts.All()
	for _, m := range members {
		if at := contacts[raft.ServerID(m.ID)].At; m.Datacenter == r.Datacenter && at.After(r.Answered) {
			r.Answered = at
		}
	}
	if refusal := r.Refusal(members); refusal != nil {
		return refusal
	}
	author := catalog.GatewayID(cmd.GetAuthor()).Datacenter()
	if refusal := n.safeguards.requests.Removal(author, r.Datacenter, n.View(), n.cfg.Host.Now()); refusal != nil {
		return refusal
	}
	if r.Alive() && quorum.NeedsConfirmation(n.View(), author, r.Datacenter, now) && !n.safeguards.requests.Confirmed(author, r.Datacenter, n.View(), now) {
		n.log.Warn("a gateway requested the removal of a datacenter that is alive; a second member has to request it too", "datacenter", r.Datacenter, "gateway", cmd.GetAuthor())
		return r.RefuseUnconfirmed(author)
	}
	n.safeguards.requests.Spend(budget.Removals, author, n.View(), now)
	n.log.Warn("removing a datacenter from the catalog", "datacenter", r.Datacenter, "gateway", cmd.GetAuthor(), "force", r.Force)
	return nil
}

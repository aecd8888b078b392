// Package recovery decides whether the catalog of a gateway may get other voters.
package recovery

import (
	"fmt"
	"slices"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// Check returns why the catalog must not get new voters, or nil. Without a
// quorum it is up to the operator whether the other voters are lost, but a leader, or
// a voter that answers, shows that they are not.
func Check(s consensus.Status, self catalog.GatewayID, next []catalog.GatewayID) error {
	const code = "recover-refused"
	if s.Leader != "" {
		return &catalog.Refusal{
			Code:    code,
			Message: fmt.Sprintf("the catalog has a leader, %s: a recovery would lose what others write", s.Leader),
			Remedy:  "remove datacenters that are permanently lost with meshctl datacenter remove",
		}
	}
	if !slices.Contains(next, self) {
		return &catalog.Refusal{
			Code: code, Field: "peer",
			Message: fmt.Sprintf("%s is not one of the future voters", self),
			Remedy:  fmt.Sprintf("add --peer %s, or run the command on gateways that will vote", self),
		}
	}
	for _, id := range next {
		if !slices.ContainsFunc(s.Peers, func(p consensus.Peer) bool { return p.ID == id }) {
			return &catalog.Refusal{
				Code: code, Field: "peer",
				Message: fmt.Sprintf("%s is not in the catalog", id),
				Remedy:  "name gateways that meshctl raft list-peers lists",
			}
		}
	}
	for _, p := range s.Peers {
		if p.Healthy && p.ID.Datacenter() != self.Datacenter() && !slices.Contains(next, p.ID) {
			return &catalog.Refusal{
				Code: code, Field: "peer",
				Message: fmt.Sprintf("%s still answers: it would keep the former catalog", p.ID),
				Remedy:  fmt.Sprintf("add --peer %s, and run the same command there at the same time", p.ID),
			}
		}
	}
	return nil
}

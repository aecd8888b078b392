package membership

import (
	"context"
	"fmt"
	"slices"

	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// RecoverRequest describes a recovery of the catalog.
type RecoverRequest struct {
	Voters []catalog.GatewayID
	DryRun bool // only check and describe it
}

// Recovery describes a recovery of the catalog on this gateway.
type Recovery struct {
	Former []catalog.GatewayID // the voters before it
	Backup string              // directory with a copy of the former state; empty for a dry run
}

// Recover gives the catalog of this gateway new voters, after its quorum is lost
// permanently. The data plane stays meanwhile. It has to be run on all gateways
// that remain, at the same time and with the same voters.
func (a *Agent) Recover(ctx context.Context, request RecoverRequest) (Recovery, error) {
	r, err := a.lockMembership()
	if err != nil {
		return Recovery{}, err
	}
	defer a.runner.command.Unlock()
	state := judgePeers(r.member.Status(), a.cfg.File.GatewayID(), r.gateway.Sessions())
	done := Recovery{Former: voters(state)}
	if err := mayRecover(state, a.cfg.File.GatewayID(), request.Voters); err != nil {
		return done, err
	}
	if request.DryRun {
		return done, nil
	}
	a.cfg.Log.Warn("recovering the catalog with other voters", "voters", request.Voters, "former", done.Former)
	err = a.runner.change(ctx, status.Joining, func() (err error) {
		done.Backup, err = a.admission.Recover(request.Voters)
		return err
	})
	return done, err
}

func voters(s consensus.Status) []catalog.GatewayID {
	var ids []catalog.GatewayID
	for _, p := range s.Peers {
		if p.Voter {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// mayRecover returns why the catalog must not get new voters, or nil. Without a
// quorum it is up to the operator whether the other voters are lost, but a leader, or
// a voter that answers, shows that they are not.
func mayRecover(s consensus.Status, self catalog.GatewayID, next []catalog.GatewayID) error {
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
			Remedy:  fmt.Sprintf("name it too (--peer %s), or run the command on gateways that will vote", self),
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
				Remedy:  fmt.Sprintf("name it too (--peer %s), and run the same command there at the same time", p.ID),
			}
		}
	}
	return nil
}

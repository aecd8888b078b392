package membership

import (
	"context"

	"github.com/meshway/meshway/agent/membership/internal/recovery"
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
	if err := recovery.Check(state, a.cfg.File.GatewayID(), request.Voters); err != nil {
		return done, err
	}
	if request.DryRun {
		return done, nil
	}
	a.cfg.Log.Warn("recovering the catalog with other voters", "voters", request.Voters, "former", done.Former)
	err = a.runner.change(ctx, joining, func() (err error) {
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

package member

import (
	"context"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// remote calls other gateways for consensus.
type remote struct{ client *control.Client }

var _ consensus.Remote = remote{}

// Apply implements consensus.Remote.
func (r remote) Apply(ctx context.Context, to catalog.GatewayID, commands []*catalogpb.Command) ([]catalog.Result, error) {
	return r.client.Apply(ctx, to, commands)
}

// ReadIndex implements consensus.Remote.
func (r remote) ReadIndex(ctx context.Context, to catalog.GatewayID, lease bool) (uint64, error) {
	return r.client.ReadIndex(ctx, to, lease)
}

// Electorate implements consensus.Remote.
func (r remote) Electorate(ctx context.Context, to catalog.GatewayID) (consensus.Electorate, error) {
	response, err := r.client.Electorate(ctx, to)
	if err != nil {
		return consensus.Electorate{}, err
	}
	return electorateOf(response), nil
}

func electorateOf(response *controlpb.ElectorateResponse) consensus.Electorate {
	electorate := consensus.Electorate{Term: response.GetTerm()}
	for _, v := range response.GetVoters() {
		electorate.Voters = append(electorate.Voters, consensus.Voter{ID: catalog.GatewayID(v.GetGateway()), CA: v.GetCaCertificate()})
	}
	return electorate
}

// LeaderOperation implements consensus.Remote.
func (r remote) LeaderOperation(ctx context.Context, to catalog.GatewayID, op consensus.LeaderOperation) error {
	request := new(controlpb.LeaderOperationRequest)
	switch op.Kind {
	case consensus.TransferLeadership:
		request.Operation = &controlpb.LeaderOperationRequest_TransferLeader{TransferLeader: &controlpb.TransferLeader{To: string(op.Target)}}
	case consensus.RemoveMember:
		request.Operation = &controlpb.LeaderOperationRequest_RemovePeer{RemovePeer: &controlpb.RemovePeer{Id: string(op.Target)}}
	case consensus.Abstain:
		request.Operation = &controlpb.LeaderOperationRequest_Abstain{Abstain: &controlpb.Abstain{}}
	}
	return r.client.LeaderOperation(ctx, to, request)
}

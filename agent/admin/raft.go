package admin

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/membership"
	"github.com/meshway/meshway/consensus/catalog"
)

// ListPeers lists the raft peers.
func (h Handler) ListPeers(context.Context, *connect.Request[controlpb.ListPeersRequest]) (*connect.Response[controlpb.ListPeersResponse], error) {
	federation, err := h.Agent.Member()
	if err != nil {
		return nil, err
	}
	state, err := h.Agent.Peers()
	if err != nil {
		return nil, err
	}
	response := &controlpb.ListPeersResponse{Freshness: &controlpb.Freshness{
		Index: state.AppliedIndex, Leader: string(state.Leader), LastContact: durationpb.New(state.LastContact),
	}}
	for _, p := range state.Peers {
		suffrage := "nonvoter"
		if p.Voter {
			suffrage = "voter"
		}
		peer := &controlpb.RaftPeer{
			Id: string(p.ID), Suffrage: suffrage, Leader: p.ID == state.Leader, Healthy: p.Healthy, LastIndex: p.LastIndex,
		}
		if p.LastContact >= 0 {
			peer.LastContact = durationpb.New(p.LastContact)
		}
		if g, ok := federation.View().Gateway(p.ID); ok {
			peer.Address = g.Overlay.String()
		}
		response.Peers = append(response.Peers, peer)
	}
	return connect.NewResponse(response), nil
}

// Operate transfers the leadership, removes a raft peer, or recovers the catalog.
func (h Handler) Operate(ctx context.Context, r *connect.Request[controlpb.OperateRequest]) (*connect.Response[controlpb.OperateResponse], error) {
	federation, err := h.Agent.Member()
	if err != nil {
		return nil, err
	}
	response := &controlpb.OperateResponse{}
	switch op := r.Msg.GetOperation().(type) {
	case *controlpb.OperateRequest_TransferLeader:
		err = federation.TransferLeader(ctx, catalog.GatewayID(op.TransferLeader.GetTo()))
	case *controlpb.OperateRequest_RemovePeer:
		err = federation.RemovePeer(ctx, catalog.GatewayID(op.RemovePeer.GetId()))
	case *controlpb.OperateRequest_Recover:
		response, err = h.recoverCatalog(ctx, op.Recover)
	default:
		err = invalid("operation", "the request names no operation", "use a meshctl of the same version as meshd")
	}
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(response), nil
}

func (h Handler) recoverCatalog(ctx context.Context, r *controlpb.Recover) (*controlpb.OperateResponse, error) {
	request := membership.RecoverRequest{DryRun: r.GetDryRun()}
	for _, id := range r.GetVoters() {
		request.Voters = append(request.Voters, catalog.GatewayID(id))
	}
	// The recovery goes on if the caller disconnects (Ctrl-C): it must not stop halfway.
	recovery, err := h.Agent.Recover(context.WithoutCancel(ctx), request)
	response := &controlpb.OperateResponse{Backup: recovery.Backup}
	for _, id := range recovery.Former {
		response.FormerVoters = append(response.FormerVoters, string(id))
	}
	return response, err
}

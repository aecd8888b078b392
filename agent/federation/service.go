package federation

import (
	"bytes"
	"context"
	"fmt"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent"
	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Sentinels are the errors that keep their meaning between gateways, and on
// the way to meshctl.
func Sentinels() rpc.Sentinels {
	return rpc.Sentinels{
		{Name: "no-leader", Err: agent.ErrNoLeader, Code: connect.CodeUnavailable},
		{Name: "no-leader", Err: consensus.ErrNoLeader, Code: connect.CodeUnavailable},
		{Name: "not-leader", Err: consensus.ErrNotLeader, Code: connect.CodeUnavailable},
		{Name: "rejected", Err: consensus.ErrRejected, Code: connect.CodeFailedPrecondition},
	}
}

// service answers other gateways.
type service struct{ member *Member }

var _ control.Service = (*service)(nil)

// Join implements control.Service.
func (s *service) Join(ctx context.Context, request *controlpb.JoinRequest) (*controlpb.JoinResponse, error) {
	join, err := joinOf(request)
	if err != nil {
		return nil, err
	}
	results, err := s.member.Propose(ctx, catalog.NewJoin(join))
	if err != nil {
		return nil, err
	}
	if refusal := results[0].Refusal; refusal != nil {
		return nil, refusal
	}
	snapshot, err := s.snapshot()
	if err != nil {
		return nil, err
	}
	s.member.log.Info("datacenter joined", "datacenter", join.Datacenter.Name, "gateway", join.Gateway.Name, "token", join.TokenID)
	return &controlpb.JoinResponse{Result: results[0].Proto(), Snapshot: snapshot}, nil
}

// snapshot is the catalog that a newcomer starts from.
func (s *service) snapshot() ([]byte, error) {
	var snapshot bytes.Buffer
	if err := s.member.View().Encode(&snapshot); err != nil {
		return nil, fmt.Errorf("encode catalog: %w", err)
	}
	return snapshot.Bytes(), nil
}

// joinOf hashes the secret, which goes no further than this.
func joinOf(request *controlpb.JoinRequest) (catalog.JoinRequest, error) {
	datacenter, err := catalog.DatacenterFromProto(request.GetDatacenter())
	if err != nil {
		return catalog.JoinRequest{}, err
	}
	request.GetGateway().Datacenter = request.GetDatacenter().GetName()
	gateway, err := catalog.GatewayFromProto(request.GetGateway())
	if err != nil {
		return catalog.JoinRequest{}, err
	}
	var secret identity.Secret
	if len(request.GetSecret()) == len(secret) {
		copy(secret[:], request.GetSecret()) // else the hash of zeros, which fits no token
	}
	return catalog.JoinRequest{
		TokenID: request.GetTokenId(), SecretHash: secret.Hash(), FederationID: request.GetFederationId(),
		Datacenter: datacenter, Gateway: gateway,
	}, nil
}

// Apply implements control.Service.
func (s *service) Apply(ctx context.Context, commands []*catalogpb.Command) ([]catalog.Result, error) {
	return s.member.node.ApplyForwarded(ctx, commands)
}

// ReadIndex implements control.Service.
func (s *service) ReadIndex(ctx context.Context, lease bool) (uint64, error) {
	return s.member.node.ReadIndex(ctx, lease)
}

// LeaderOperation implements control.Service. What an operator may do on one
// gateway he may do on all.
func (s *service) LeaderOperation(ctx context.Context, from catalog.GatewayID, operation *controlpb.LeaderOperationRequest) error {
	op, err := operationOf(operation)
	if err != nil {
		return err
	}
	if op.Kind == consensus.Abstain {
		op.Target = from // nobody else's datacenter
	}
	s.member.log.Info("leader operation", "operation", op.Kind, "target", op.Target, "from", from)
	return s.member.node.LeaderOperation(ctx, op)
}

func operationOf(request *controlpb.LeaderOperationRequest) (consensus.LeaderOperation, error) {
	switch op := request.GetOperation().(type) {
	case *controlpb.LeaderOperationRequest_TransferLeader:
		return consensus.LeaderOperation{Kind: consensus.TransferLeadership, Target: catalog.GatewayID(op.TransferLeader.GetTo())}, nil
	case *controlpb.LeaderOperationRequest_RemovePeer:
		return consensus.LeaderOperation{Kind: consensus.RemoveMember, Target: catalog.GatewayID(op.RemovePeer.GetId())}, nil
	case *controlpb.LeaderOperationRequest_RestoreSnapshot:
		return consensus.LeaderOperation{Kind: consensus.RestoreArchive, Archive: op.RestoreSnapshot.GetArchive()}, nil
	case *controlpb.LeaderOperationRequest_Abstain:
		return consensus.LeaderOperation{Kind: consensus.Abstain}, nil
	default:
		return consensus.LeaderOperation{}, fmt.Errorf("%w: unknown operation: the leader runs an older version", consensus.ErrRejected)
	}
}

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
	case consensus.RestoreArchive:
		request.Operation = &controlpb.LeaderOperationRequest_RestoreSnapshot{RestoreSnapshot: &controlpb.RestoreSnapshot{Archive: op.Archive}}
	}
	return r.client.LeaderOperation(ctx, to, request)
}

package member

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/raftnode"
)

// service serves the calls of other gateways.
type service struct {
	member *Member
	refuse func(catalog.Datacenter, catalog.Gateway) error
}

// controlService returns s as what the control port serves.
func controlService(s *service) control.Service {
	return control.Service{Admissions: s, Copies: s, Leadership: s, Consensus: s}
}

// Join implements control.Admissions.
func (s *service) Join(ctx context.Context, request *controlpb.JoinRequest) (*controlpb.JoinResponse, error) {
	join, err := joinCommand(request)
	if err != nil {
		return nil, err
	}
	if preview, err := s.judge(join); err != nil || request.GetPreview() {
		return preview, err
	}
	if _, taken := s.member.View().Datacenter(join.Datacenter.Name); !taken { // else the catalog decides
		if err := s.member.trust.CheckAdmission(join.Datacenter); err != nil {
			return nil, err
		}
	}
	result, err := catalog.One(s.member.Propose(ctx, catalog.NewJoin(join)))
	if err != nil {
		return nil, err
	}
	handed, err := s.handover()
	if err != nil {
		return nil, err
	}
	s.member.log.Info("admitted a datacenter", "datacenter", join.Datacenter.Name, "gateway", join.Gateway.ID(), "token", join.TokenID)
	handed.Result = result.Proto()
	return handed, nil
}

// judge returns the preview of a join, or why this gateway does not admit the
// datacenter. Only the holder of a token receives either. The catalog decides
// on everything else.
func (s *service) judge(join catalog.JoinRequest) (*controlpb.JoinResponse, error) {
	view := s.member.View()
	t, ok := view.Token(join.TokenID)
	if !ok || subtle.ConstantTimeCompare(t.SecretHash[:], join.SecretHash[:]) != 1 {
		return &controlpb.JoinResponse{}, nil
	}
	_, repeated := view.Datacenter(join.Datacenter.Name)
	if !repeated && !overlapsMember(view, join.Datacenter.Prefixes) {
		if err := s.refuse(join.Datacenter, join.Gateway); err != nil {
			return nil, err
		}
	}
	federation, _ := view.Federation()
	return &controlpb.JoinResponse{Overlay: federation.Overlay.String()}, nil
}

// overlapsMember reports whether one of prefixes overlaps one of a member. The
// catalog refuses that, and its refusal names the member.
func overlapsMember(view *replica.View, prefixes []catalog.Prefix) bool {
	for _, dc := range view.Datacenters() {
		for _, held := range dc.Prefixes {
			if slices.ContainsFunc(prefixes, func(p catalog.Prefix) bool { return p.CIDR.Overlaps(held.CIDR) }) {
				return true
			}
		}
	}
	return false
}

// handover returns what a gateway that is admitted is to know of the others, and the
// catalog that it starts from. The catalog is read last: the versions of its records are
// not below those in the ledger, and it has the gateways that vote.
func (s *service) handover() (*controlpb.JoinResponse, error) {
	electorate, err := s.Electorate()
	if err != nil {
		electorate = nil // raft is restarting, and the token is used: the new member does without
	}
	if electorate != nil {
		electorate.Voters = believed(electorate.GetVoters(), s.member.file.GatewayID())
	}
	ledger, err := json.Marshal(s.member.trust.Ledger().Handover())
	if err != nil {
		return nil, fmt.Errorf("encode the pins of the datacenters: %w", err)
	}
	var encoded bytes.Buffer
	if err := s.member.View().Encode(&encoded); err != nil {
		return nil, fmt.Errorf("encode catalog: %w", err)
	}
	return &controlpb.JoinResponse{Snapshot: encoded.Bytes(), Trust: ledger, Electorate: electorate}, nil
}

// believed returns the gateways whose messages a new member accepts until it has a
// configuration: the voters, and this gateway, which may be the only one that the new
// member reaches, and may report, or be, the next leader. The CAs are in the catalog.
func believed(voters []*controlpb.ElectorateResponse_Voter, self catalog.GatewayID) []*controlpb.ElectorateResponse_Voter {
	list := []*controlpb.ElectorateResponse_Voter{{Gateway: string(self)}}
	for _, v := range voters {
		if v.GetGateway() != string(self) {
			list = append(list, &controlpb.ElectorateResponse_Voter{Gateway: v.GetGateway()})
		}
	}
	return list
}

// joinCommand reads a request. It replaces the secret by its hash.
func joinCommand(request *controlpb.JoinRequest) (catalog.JoinRequest, error) {
	datacenter, err := catalog.DatacenterFromProto(request.GetDatacenter())
	if err != nil {
		return catalog.JoinRequest{}, err
	}
	sent := request.GetGateway()
	if sent == nil {
		sent = new(catalogpb.Gateway) // which is refused as one without a name
	}
	sent.Datacenter = request.GetDatacenter().GetName()
	gateway, err := catalog.GatewayFromProto(sent)
	if err != nil {
		return catalog.JoinRequest{}, err
	}
	return catalog.JoinRequest{
		TokenID: request.GetTokenId(), SecretHash: identity.ReadSecret(request.GetSecret()).Hash(), FederationID: request.GetFederationId(),
		Datacenter: datacenter, Gateway: gateway,
	}, nil
}

// Apply implements control.Consensus.
func (s *service) Apply(ctx context.Context, commands []*catalogpb.Command) ([]catalog.Result, error) {
	return s.member.node.ApplyForwarded(ctx, commands)
}

// ReadIndex implements control.Consensus.
func (s *service) ReadIndex(ctx context.Context, lease bool) (uint64, error) {
	return s.member.node.ReadIndex(ctx, lease)
}

// Electorate implements control.Leadership.
func (s *service) Electorate() (*controlpb.ElectorateResponse, error) {
	electorate, err := s.member.node.Electorate()
	if err != nil {
		return nil, err
	}
	response := &controlpb.ElectorateResponse{Term: electorate.Term}
	for _, v := range electorate.Voters {
		response.Voters = append(response.Voters, &controlpb.ElectorateResponse_Voter{Gateway: string(v.ID), CaCertificate: v.CA})
	}
	return response, nil
}

// LeaderOperation implements control.Leadership. An operator of one gateway may
// operate the leader from any gateway.
func (s *service) LeaderOperation(ctx context.Context, from catalog.GatewayID, operation *controlpb.LeaderOperationRequest) error {
	op, err := readOperation(operation)
	if err != nil {
		return err
	}
	op.From = from
	if op.Kind == consensus.Abstain {
		op.Target = from // no other datacenter than its own
	}
	return s.member.node.LeaderOperation(ctx, op)
}

func readOperation(request *controlpb.LeaderOperationRequest) (consensus.LeaderOperation, error) {
	switch op := request.GetOperation().(type) {
	case *controlpb.LeaderOperationRequest_TransferLeader:
		return consensus.LeaderOperation{Kind: consensus.TransferLeadership, Target: catalog.GatewayID(op.TransferLeader.GetTo())}, nil
	case *controlpb.LeaderOperationRequest_RemovePeer:
		return consensus.LeaderOperation{Kind: consensus.RemoveMember, Target: catalog.GatewayID(op.RemovePeer.GetId())}, nil
	case *controlpb.LeaderOperationRequest_RestoreSnapshot:
		// A member could replace the keys, addresses and CAs of all others by it.
		return consensus.LeaderOperation{}, fmt.Errorf("%w: a snapshot can be restored on the host of the leader only: "+
			"run meshctl snapshot restore there", consensus.ErrRejected)
	case *controlpb.LeaderOperationRequest_Abstain:
		return consensus.LeaderOperation{Kind: consensus.Abstain}, nil
	default:
		return consensus.LeaderOperation{}, fmt.Errorf("%w: the leader runs an older version that does not have this operation", consensus.ErrRejected)
	}
}

// Enrol implements control.Admissions.
func (s *service) Enrol(ctx context.Context, gateway catalog.Gateway, lookupOnly bool) (*controlpb.EnrolResponse, error) {
	view, _, err := s.member.node.Read(ctx, consensus.LeaseRead)
	if err != nil {
		return nil, err
	}
	_, known := view.Gateway(gateway.ID())
	if lookupOnly {
		return &controlpb.EnrolResponse{Known: known}, nil
	}
	if err := s.removeStaleVoter(ctx, gateway.ID(), known); err != nil {
		return nil, err
	}
	result, err := s.addGateway(ctx, gateway)
	if err != nil {
		return nil, err
	}
	if result.Refusal != nil {
		return nil, result.Refusal
	}
	handed, err := s.handover()
	if err != nil {
		return nil, err
	}
	s.member.log.Info("enrolled a gateway", "gateway", gateway.ID(), "returned", known)
	return &controlpb.EnrolResponse{
		Result: result.Proto(), Snapshot: handed.GetSnapshot(), Trust: handed.GetTrust(), Electorate: handed.GetElectorate(), Known: known,
	}, nil
}

// removeStaleVoter removes from raft a gateway that comes back without its log:
// its former votes and entries are lost and must not count. It is added again
// without a vote.
//
// A gateway of another datacenter requests that itself, and only of the leader, as in
// addGateway: it must not use up what this datacenter may request of the leader.
func (s *service) removeStaleVoter(ctx context.Context, id catalog.GatewayID, known bool) error {
	status := s.member.node.Status()
	if status.Role == "" {
		return consensus.ErrClosed
	}
	if !slices.ContainsFunc(status.Peers, func(p consensus.Peer) bool { return p.ID == id }) {
		return nil
	}
	if id.Datacenter() == s.member.file.Datacenter {
		return s.member.node.RemovePeer(ctx, id)
	}
	return s.member.node.LeaderOperation(ctx, consensus.LeaderOperation{
		Kind: consensus.RemoveMember, Target: id, From: id, Own: !known, // the catalog records only what its gateways request
	})
}

// addGateway writes as this gateway for its own datacenter. For another
// datacenter the author is the gateway to be added, and only the leader can write
// for another author.
func (s *service) addGateway(ctx context.Context, gateway catalog.Gateway) (catalog.Result, error) {
	command := catalog.NewAddGateway(gateway)
	if gateway.Datacenter == s.member.file.Datacenter {
		results, err := s.member.Propose(ctx, command)
		if err != nil {
			return catalog.Result{}, err
		}
		return results[0], nil
	}
	command.Author, command.At = string(gateway.ID()), timestamppb.Now()
	// One client, so that a gateway that is enrolled often remains within the limit of
	// clients. The command is sent once, and acknowledges those before.
	command.Client, command.Sequence = "enrol", raftnode.FirstSequence(time.Now())
	command.Acknowledged = command.Sequence - 1
	results, err := s.member.node.ApplyForwarded(ctx, []*catalogpb.Command{command})
	if err != nil {
		return catalog.Result{}, err
	}
	return results[0], nil
}

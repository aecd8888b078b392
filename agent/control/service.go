package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// maxCommands limits one call of Apply, which becomes one entry of the log.
const maxCommands = 4096

// Service serves the calls of other gateways. All fields are required.
type Service struct {
	Admissions
	Copies
	Leadership
	Consensus
}

// Consensus serves the writes and reads of the catalog that other members forward.
type Consensus interface {
	// Apply writes on behalf of another member, the author of each command.
	Apply(ctx context.Context, commands []*catalogpb.Command) ([]catalog.Result, error)
	// ReadIndex returns the index that a read has to wait for: that of the leader's
	// lease, or of a round of the quorum unless lease.
	ReadIndex(ctx context.Context, lease bool) (uint64, error)
}

// Leadership serves what concerns the leader of the catalog and its election.
type Leadership interface {
	// LeaderOperation runs an operation of the leader for the member from.
	LeaderOperation(ctx context.Context, from catalog.GatewayID, operation *controlpb.LeaderOperationRequest) error
	// Electorate returns the gateways that vote.
	Electorate() (*controlpb.ElectorateResponse, error)
}

// Admissions serves gateways that are not in the catalog.
type Admissions interface {
	// Join admits a datacenter. The caller has proved that it has a certificate of
	// the CA in the request and is the gateway in the request. The token is not
	// checked yet.
	Join(ctx context.Context, request *controlpb.JoinRequest) (*controlpb.JoinResponse, error)
	// Enrol adds a gateway to its datacenter, or, if lookupOnly, only reports
	// whether the catalog has it. The caller has proved that it is that gateway.
	Enrol(ctx context.Context, gateway catalog.Gateway, lookupOnly bool) (*controlpb.EnrolResponse, error)
}

// federationHandler translates between the wire and Service.
type federationHandler struct {
	service   Service
	sentinels rpc.Sentinels
	trust     trust
	log       *slog.Logger
}

var _ controlpbconnect.FederationHandler = (*federationHandler)(nil)

// Join implements controlpbconnect.FederationHandler.
func (h *federationHandler) Join(ctx context.Context, request *connect.Request[controlpb.JoinRequest]) (*connect.Response[controlpb.JoinResponse], error) {
	if err := h.verifyJoin(ctx, request.Msg); err != nil {
		return nil, err
	}
	response, err := h.service.Join(ctx, request.Msg)
	if err != nil {
		return nil, h.concealInternal(err)
	}
	return connect.NewResponse(response), nil
}

// concealInternal replaces an error without a code, which may contain details of
// this host such as paths: the caller has proved only that it has a CA of its own.
func (h *federationHandler) concealInternal(err error) error {
	if coded, ok := errors.AsType[*connect.Error](h.sentinels.ToConnect(err)); ok && coded.Code() != connect.CodeUnknown {
		return coded
	}
	h.log.Warn("failed to admit a datacenter", "err", err)
	return connect.NewError(connect.CodeInternal,
		fmt.Errorf("the gateway failed to process the request; see the log of %s", h.trust.certifier.Self()))
}

// verifyJoin verifies that the caller is the gateway in the request, by a
// certificate of the CA in the request.
func (h *federationHandler) verifyJoin(ctx context.Context, request *controlpb.JoinRequest) error {
	s, ok := sessionFrom(ctx)
	if !ok {
		return errNoSession()
	}
	ours := h.trust.certifier.Federation()
	if request.GetFederationId() != ours {
		return &catalog.Refusal{
			Code: catalog.CodeFederationDiffers, Field: "token",
			Message: fmt.Sprintf("the token is for federation %s, but gateway %s is in federation %s",
				request.GetFederationId(), h.trust.certifier.Self(), ours),
			Remedy: "create a new token with \"meshctl token create\"",
		}
	}
	peer, err := identity.VerifyPossession(s.proof.chain, request.GetDatacenter().GetCaCertificate(), ours, h.trust.now())
	if err != nil {
		return &catalog.Refusal{
			Code: catalog.CodeCertificate, Field: "datacenter.ca_certificate", Message: err.Error(),
			Remedy: "present a certificate of the CA in the request; compare the clocks of both hosts (timedatectl status shows them), and set the wrong one",
		}
	}
	return requireNamed(peer, identity.Peer{
		Datacenter: catalog.DatacenterName(request.GetDatacenter().GetName()),
		Gateway:    request.GetGateway().GetName(),
	})
}

// requireNamed refuses a request for another gateway than its caller.
func requireNamed(caller, named identity.Peer) error {
	if caller == named {
		return nil
	}
	return &catalog.Refusal{
		Code: catalog.CodeCertificate, Field: "gateway",
		Message: fmt.Sprintf("the certificate is for gateway %s, but the request is for gateway %s", caller, named),
		Remedy:  "use a separate data directory for each gateway",
	}
}

// Enrol implements controlpbconnect.FederationHandler. The caller, which authorise
// has verified, enrols only itself.
func (h *federationHandler) Enrol(ctx context.Context, request *connect.Request[controlpb.EnrolRequest]) (*connect.Response[controlpb.EnrolResponse], error) {
	peer, err := callingMember(ctx)
	if err != nil {
		return nil, err
	}
	if ours := h.trust.certifier.Federation(); request.Msg.GetFederationId() != ours {
		return nil, &catalog.Refusal{
			Code: catalog.CodeFederationDiffers, Field: "federation_id",
			Message: fmt.Sprintf("gateway %s is in federation %s, but gateway %s is in federation %s",
				peer, request.Msg.GetFederationId(), h.trust.certifier.Self(), ours),
			Remedy: "remove the datacenter from its federation with meshctl leave, then join again",
		}
	}
	named := identity.Peer{Datacenter: peer.Datacenter, Gateway: request.Msg.GetGateway().GetName()}
	if dc := request.Msg.GetGateway().GetDatacenter(); dc != "" {
		named.Datacenter = catalog.DatacenterName(dc)
	}
	if err := requireNamed(peer, named); err != nil {
		return nil, err
	}
	gateway, err := catalog.GatewayFromProto(request.Msg.GetGateway())
	if err != nil {
		return nil, err
	}
	gateway.Datacenter = peer.Datacenter
	return responseOf(h.service.Enrol(ctx, gateway, request.Msg.GetAsk()))
}

// Apply implements controlpbconnect.FederationHandler.
func (h *federationHandler) Apply(ctx context.Context, request *connect.Request[controlpb.ApplyRequest]) (*connect.Response[controlpb.ApplyResponse], error) {
	peer, err := callingMember(ctx)
	if err != nil {
		return nil, err
	}
	commands := request.Msg.GetCommands()
	if len(commands) == 0 || len(commands) > maxCommands {
		return nil, connect.NewError(connect.CodeInvalidArgument,
			fmt.Errorf("the request has %d commands; send 1 to %d", len(commands), maxCommands))
	}
	for _, command := range commands {
		// The catalog authorises by this field: the caller must not choose it.
		command.Author = string(peer.ID())
	}
	results, err := h.service.Apply(ctx, commands)
	if err != nil {
		return nil, err
	}
	response := &controlpb.ApplyResponse{Results: make([]*catalogpb.Result, len(results))}
	for i, result := range results {
		response.Results[i] = result.Proto()
	}
	return connect.NewResponse(response), nil
}

// ReadIndex implements controlpbconnect.FederationHandler.
func (h *federationHandler) ReadIndex(ctx context.Context, request *connect.Request[controlpb.ReadIndexRequest]) (*connect.Response[controlpb.ReadIndexResponse], error) {
	index, err := h.service.ReadIndex(ctx, request.Msg.GetLease())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&controlpb.ReadIndexResponse{Index: index}), nil
}

// responseOf returns the response with a message.
func responseOf[M any](message *M, err error) (*connect.Response[M], error) {
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(message), nil
}

// Electorate implements controlpbconnect.FederationHandler.
func (h *federationHandler) Electorate(context.Context, *connect.Request[controlpb.ElectorateRequest]) (*connect.Response[controlpb.ElectorateResponse], error) {
	return responseOf(h.service.Electorate())
}

// LeaderOperation implements controlpbconnect.FederationHandler.
func (h *federationHandler) LeaderOperation(ctx context.Context, request *connect.Request[controlpb.LeaderOperationRequest]) (*connect.Response[controlpb.LeaderOperationResponse], error) {
	peer, err := callingMember(ctx)
	if err != nil {
		return nil, err
	}
	if request.Msg.GetOperation() == nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("the request has no operation"))
	}
	if err := h.service.LeaderOperation(ctx, peer.ID(), request.Msg); err != nil {
		return nil, err
	}
	return connect.NewResponse(&controlpb.LeaderOperationResponse{}), nil
}

package admin

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/agent"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/consensus/catalog"
)

// DefaultTokenTTL is how long a join token is valid if nothing else is asked for.
const DefaultTokenTTL = time.Hour

// Handler serves meshctl on behalf of one agent.
type Handler struct{ Agent *agent.Agent }

var _ controlpbconnect.OperatorHandler = Handler{}

// Version tells which build of meshd is running.
func (h Handler) Version(ctx context.Context, r *connect.Request[controlpb.VersionRequest]) (*connect.Response[controlpb.VersionResponse], error) {
	return inspection{h.Agent}.Version(ctx, r)
}

// Status returns the newest snapshot.
func (h Handler) Status(ctx context.Context, r *connect.Request[controlpb.StatusRequest]) (*connect.Response[controlpb.StatusResponse], error) {
	return inspection{h.Agent}.Status(ctx, r)
}

// Routes explains the kernel's routes.
func (h Handler) Routes(ctx context.Context, r *connect.Request[controlpb.RoutesRequest]) (*connect.Response[controlpb.RoutesResponse], error) {
	return inspection{h.Agent}.Routes(ctx, r)
}

// InitFederation makes a new federation.
func (h Handler) InitFederation(ctx context.Context, r *connect.Request[controlpb.InitFederationRequest]) (*connect.Response[controlpb.InitFederationResponse], error) {
	founding := agent.Founding{Name: r.Msg.GetName()}
	if founding.Name == "" {
		founding.Name = "meshway"
	}
	if err := catalog.ValidateName(founding.Name); err != nil {
		return nil, invalid("name", fmt.Sprintf("%q: %v", founding.Name, err), "choose a DNS label such as meshway")
	}
	if text := r.Msg.GetOverlay(); text != "" {
		overlay, err := netip.ParsePrefix(text)
		if err != nil || overlay != overlay.Masked() {
			return nil, invalid("overlay", fmt.Sprintf("%q is no canonical prefix", text), "write a prefix such as fd12:3456:789a::/48")
		}
		founding.Overlay = overlay
	}
	federation, err := h.Agent.Found(ctx, founding)
	if err != nil {
		return nil, err
	}
	self := h.Agent.Status().Self
	return connect.NewResponse(&controlpb.InitFederationResponse{
		Federation: federation.Proto(), Gateway: self.ID, OverlayAddress: self.Overlay,
	}), nil
}

// JoinFederation joins with a token and streams the steps.
func (h Handler) JoinFederation(ctx context.Context, r *connect.Request[controlpb.JoinFederationRequest], stream *connect.ServerStream[controlpb.Progress]) error {
	// A caller that goes away (Ctrl-C) does not stop a join half way.
	ctx = context.WithoutCancel(ctx)
	if err := h.Agent.Join(ctx, r.Msg.GetToken(), sendTo(stream)); err != nil {
		return err
	}
	return stream.Send(&controlpb.Progress{Step: "done", Message: "joined", Done: true})
}

// Leave takes the datacenter out of the federation and streams the steps.
func (h Handler) Leave(ctx context.Context, r *connect.Request[controlpb.LeaveRequest], stream *connect.ServerStream[controlpb.Progress]) error {
	ctx = context.WithoutCancel(ctx)
	if err := h.Agent.Leave(ctx, r.Msg.GetForce(), sendTo(stream)); err != nil {
		return err
	}
	return stream.Send(&controlpb.Progress{Step: "done", Message: "left", Done: true})
}

// RemoveDatacenter takes out another datacenter, one that is gone for good.
func (h Handler) RemoveDatacenter(ctx context.Context, r *connect.Request[controlpb.RemoveDatacenterRequest]) (*connect.Response[controlpb.RemoveDatacenterResponse], error) {
	removed, err := h.Agent.RemoveDatacenter(ctx, catalog.DatacenterName(r.Msg.GetDatacenter()), r.Msg.GetForce())
	if err != nil {
		return nil, err
	}
	answer := &controlpb.RemoveDatacenterResponse{Datacenter: removed.Datacenter.Proto(), Index: removed.Index}
	for _, id := range removed.Gateways {
		answer.Gateways = append(answer.Gateways, string(id))
	}
	return connect.NewResponse(answer), nil
}

// Drain takes this gateway out of use and streams the steps.
func (h Handler) Drain(ctx context.Context, r *connect.Request[controlpb.DrainRequest], stream *connect.ServerStream[controlpb.Progress]) error {
	// A caller that goes away does not leave a gateway half drained.
	ctx = context.WithoutCancel(ctx)
	want := agent.DrainRequest{Force: r.Msg.GetForce(), For: r.Msg.GetFor().AsDuration(), Bound: r.Msg.GetBound().AsDuration()}
	for field, given := range map[string]time.Duration{"for": want.For, "bound": want.Bound} {
		if given < 0 {
			return invalid(field, fmt.Sprintf("%s is less than nothing", given), "write a duration such as 90s")
		}
	}
	if err := h.Agent.Drain(ctx, want, sendTo(stream)); err != nil {
		return err
	}
	return stream.Send(&controlpb.Progress{Step: "done", Message: "drained", Done: true})
}

// Undrain takes this gateway back into use.
func (h Handler) Undrain(context.Context, *connect.Request[controlpb.UndrainRequest]) (*connect.Response[controlpb.UndrainResponse], error) {
	return connect.NewResponse(&controlpb.UndrainResponse{}), h.Agent.Undrain()
}

// sendTo reports steps to a caller, who may have gone away.
func sendTo(stream *connect.ServerStream[controlpb.Progress]) agent.Progress {
	return func(step, message string) { _ = stream.Send(&controlpb.Progress{Step: step, Message: message}) }
}

// CreateToken makes a join token.
func (h Handler) CreateToken(ctx context.Context, r *connect.Request[controlpb.CreateTokenRequest]) (*connect.Response[controlpb.CreateTokenResponse], error) {
	federation, err := h.Agent.Member()
	if err != nil {
		return nil, err
	}
	ttl := DefaultTokenTTL
	if r.Msg.GetTtl() != nil {
		ttl = r.Msg.GetTtl().AsDuration()
	}
	token, err := federation.CreateToken(ctx, catalog.DatacenterName(r.Msg.GetDatacenter()), ttl)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&controlpb.CreateTokenResponse{
		Token: token.Text, Id: token.ID, ExpiresAt: timestamppb.New(token.ExpiresAt), Endpoints: token.Endpoints,
	}), nil
}

// ListTokens lists the tokens without their hashes.
func (h Handler) ListTokens(ctx context.Context, r *connect.Request[controlpb.ListTokensRequest]) (*connect.Response[controlpb.ListTokensResponse], error) {
	view, fresh, err := h.read(ctx, r.Msg.GetMode())
	if err != nil {
		return nil, err
	}
	answer := &controlpb.ListTokensResponse{Freshness: fresh}
	for _, t := range view.Tokens() {
		token := t.Proto()
		token.SecretHash = nil
		answer.Tokens = append(answer.Tokens, token)
	}
	return connect.NewResponse(answer), nil
}

// RevokeToken makes a token useless.
func (h Handler) RevokeToken(ctx context.Context, r *connect.Request[controlpb.RevokeTokenRequest]) (*connect.Response[controlpb.RevokeTokenResponse], error) {
	federation, err := h.Agent.Member()
	if err != nil {
		return nil, err
	}
	results, err := federation.Propose(ctx, catalog.NewRevokeToken(r.Msg.GetId()))
	if err != nil {
		return nil, err
	}
	if refusal := results[0].Refusal; refusal != nil {
		return nil, refusal
	}
	return connect.NewResponse(&controlpb.RevokeTokenResponse{}), nil
}

// ListServices lists the services of all datacenters.
func (h Handler) ListServices(ctx context.Context, r *connect.Request[controlpb.ListServicesRequest]) (*connect.Response[controlpb.ListServicesResponse], error) {
	view, fresh, err := h.read(ctx, r.Msg.GetMode())
	if err != nil {
		return nil, err
	}
	answer := &controlpb.ListServicesResponse{Freshness: fresh}
	for _, s := range view.Services(catalog.ServiceFilter{
		Namespace: r.Msg.GetNamespace(), Name: r.Msg.GetName(), Datacenter: catalog.DatacenterName(r.Msg.GetDatacenter()),
	}) {
		answer.Services = append(answer.Services, s.Proto())
	}
	return connect.NewResponse(answer), nil
}

// RegisterService registers a service of this datacenter.
func (h Handler) RegisterService(ctx context.Context, r *connect.Request[controlpb.RegisterServiceRequest]) (*connect.Response[controlpb.RegisterServiceResponse], error) {
	service, err := catalog.ServiceFromProto(r.Msg.GetService())
	if err != nil {
		return nil, invalid("service", err.Error(), "see meshctl service register --help")
	}
	index, queued, err := h.Agent.Register(ctx, service)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&controlpb.RegisterServiceResponse{Index: index, Queued: queued}), nil
}

// DeregisterService removes what this gateway registered.
func (h Handler) DeregisterService(ctx context.Context, r *connect.Request[controlpb.DeregisterServiceRequest]) (*connect.Response[controlpb.DeregisterServiceResponse], error) {
	removed, queued, err := h.Agent.Deregister(ctx, r.Msg.GetNamespace(), r.Msg.GetName(), r.Msg.GetInstance())
	if err != nil {
		return nil, err
	}
	if removed == 0 {
		return nil, &catalog.Refusal{
			Code: "not-registered", Field: "name",
			Message: fmt.Sprintf("this gateway has registered no service %s", r.Msg.GetName()),
			Remedy:  "see meshctl services for who registered what; services of the configuration file are removed there",
		}
	}
	return connect.NewResponse(&controlpb.DeregisterServiceResponse{Removed: uint32(removed), Queued: queued}), nil //nolint:gosec // a count
}

// SaveSnapshot returns the catalog as an archive.
func (h Handler) SaveSnapshot(ctx context.Context, r *connect.Request[controlpb.SaveSnapshotRequest]) (*connect.Response[controlpb.SaveSnapshotResponse], error) {
	federation, err := h.Agent.Member()
	if err != nil {
		return nil, err
	}
	archive, index, err := federation.SaveSnapshot(ctx, modeOf(r.Msg.GetMode()))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&controlpb.SaveSnapshotResponse{Archive: archive, Index: index}), nil
}

// Restore replaces the catalog by an archive.
func (h Handler) Restore(ctx context.Context, r *connect.Request[controlpb.RestoreRequest]) (*connect.Response[controlpb.RestoreResponse], error) {
	federation, err := h.Agent.Member()
	if err != nil {
		return nil, err
	}
	index, err := federation.Restore(ctx, r.Msg.GetArchive())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&controlpb.RestoreResponse{Index: index}), nil
}

// ListPeers lists the members of raft.
func (h Handler) ListPeers(context.Context, *connect.Request[controlpb.ListPeersRequest]) (*connect.Response[controlpb.ListPeersResponse], error) {
	federation, err := h.Agent.Member()
	if err != nil {
		return nil, err
	}
	state, err := h.Agent.Peers()
	if err != nil {
		return nil, err
	}
	answer := &controlpb.ListPeersResponse{Freshness: &controlpb.Freshness{
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
		answer.Peers = append(answer.Peers, peer)
	}
	return connect.NewResponse(answer), nil
}

// Operate changes the members of raft.
func (h Handler) Operate(ctx context.Context, r *connect.Request[controlpb.OperateRequest]) (*connect.Response[controlpb.OperateResponse], error) {
	federation, err := h.Agent.Member()
	if err != nil {
		return nil, err
	}
	switch op := r.Msg.GetOperation().(type) {
	case *controlpb.OperateRequest_TransferLeader:
		err = federation.TransferLeader(ctx, catalog.GatewayID(op.TransferLeader.GetTo()))
	case *controlpb.OperateRequest_RemovePeer:
		err = federation.RemovePeer(ctx, catalog.GatewayID(op.RemovePeer.GetId()))
	default:
		err = invalid("operation", "the request names no operation", "use a meshctl of the same version as meshd")
	}
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&controlpb.OperateResponse{}), nil
}

func (h Handler) read(ctx context.Context, mode controlpb.ReadMode) (*catalog.View, *controlpb.Freshness, error) {
	federation, err := h.Agent.Member()
	if err != nil {
		return nil, nil, err
	}
	view, fresh, err := federation.Read(ctx, modeOf(mode))
	if err != nil {
		return nil, nil, err
	}
	return view, &controlpb.Freshness{
		Index: fresh.Index, Leader: string(fresh.Leader), LastContact: durationpb.New(fresh.LastContact),
	}, nil
}

func modeOf(mode controlpb.ReadMode) agent.ReadMode {
	switch mode {
	case controlpb.ReadMode_READ_MODE_STALE:
		return agent.StaleRead
	case controlpb.ReadMode_READ_MODE_CONSISTENT:
		return agent.ConsistentRead
	default:
		return agent.LeaseRead
	}
}

func invalid(field, message, remedy string) error {
	return &catalog.Refusal{Code: "invalid-argument", Field: field, Message: message, Remedy: remedy}
}

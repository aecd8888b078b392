package admin

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/membership"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// DefaultTokenTTL is the lifetime of a join token whose request sets none.
const DefaultTokenTTL = time.Hour

// Handler serves meshctl on a gateway.
type Handler struct{ Agent *membership.Agent }

var _ controlpbconnect.OperatorHandler = Handler{}

// Version returns the build of meshd.
func (h Handler) Version(ctx context.Context, r *connect.Request[controlpb.VersionRequest]) (*connect.Response[controlpb.VersionResponse], error) {
	return inspection{h.Agent}.Version(ctx, r)
}

// Status returns the newest snapshot.
func (h Handler) Status(ctx context.Context, r *connect.Request[controlpb.StatusRequest]) (*connect.Response[controlpb.StatusResponse], error) {
	return inspection{h.Agent}.Status(ctx, r)
}

// Routes returns the routes of the kernel with their reasons.
func (h Handler) Routes(ctx context.Context, r *connect.Request[controlpb.RoutesRequest]) (*connect.Response[controlpb.RoutesResponse], error) {
	return inspection{h.Agent}.Routes(ctx, r)
}

// InitFederation creates a federation.
func (h Handler) InitFederation(ctx context.Context, r *connect.Request[controlpb.InitFederationRequest]) (*connect.Response[controlpb.InitFederationResponse], error) {
	options := member.InitOptions{Name: r.Msg.GetName()}
	if options.Name == "" {
		options.Name = "meshway"
	}
	if err := catalog.ValidateName(options.Name); err != nil {
		return nil, invalid("name", fmt.Sprintf("%q: %v", options.Name, err), "choose a DNS label such as meshway")
	}
	if text := r.Msg.GetOverlay(); text != "" {
		overlay, err := netip.ParsePrefix(text)
		if err != nil || overlay != overlay.Masked() {
			return nil, invalid("overlay", fmt.Sprintf("%q is not a prefix in canonical form", text), "write a prefix such as fd12:3456:789a::/48")
		}
		options.Overlay = overlay
	}
	var err error
	if options.Allow, err = allowable("allow", r.Msg.GetAllow()); err != nil {
		return nil, err
	}
	federation, err := h.Agent.Init(ctx, options)
	if err != nil {
		return nil, err
	}
	self := h.Agent.Status().Self
	return connect.NewResponse(&controlpb.InitFederationResponse{
		Federation: federation.Proto(), Gateway: self.ID, OverlayAddress: self.Overlay,
	}), nil
}

// JoinFederation joins a federation with a token and streams the steps.
func (h Handler) JoinFederation(ctx context.Context, r *connect.Request[controlpb.JoinFederationRequest], stream *connect.ServerStream[controlpb.Progress]) error {
	// The join goes on if the caller disconnects (Ctrl-C): it must not stop halfway.
	ctx = context.WithoutCancel(ctx)
	if err := h.Agent.Join(ctx, r.Msg.GetToken(), sendTo(stream)); err != nil {
		return err
	}
	return stream.Send(&controlpb.Progress{Step: "done", Message: "joined", Done: true})
}

// Leave removes the datacenter from the federation and streams the steps.
func (h Handler) Leave(ctx context.Context, r *connect.Request[controlpb.LeaveRequest], stream *connect.ServerStream[controlpb.Progress]) error {
	ctx = context.WithoutCancel(ctx)
	if err := h.Agent.Leave(ctx, membership.LeaveOptions{Force: r.Msg.GetForce(), Release: r.Msg.GetRelease()}, sendTo(stream)); err != nil {
		return err
	}
	return stream.Send(&controlpb.Progress{Step: "done", Message: "left", Done: true})
}

// RemoveDatacenter removes another datacenter, which is permanently lost.
func (h Handler) RemoveDatacenter(ctx context.Context, r *connect.Request[controlpb.RemoveDatacenterRequest]) (*connect.Response[controlpb.RemoveDatacenterResponse], error) {
	removed, err := h.Agent.RemoveDatacenter(ctx, catalog.DatacenterName(r.Msg.GetDatacenter()), r.Msg.GetForce())
	if err != nil {
		return nil, err
	}
	response := &controlpb.RemoveDatacenterResponse{Datacenter: removed.Datacenter.Proto(), Index: removed.Index}
	for _, id := range removed.Gateways {
		response.Gateways = append(response.Gateways, string(id))
	}
	return connect.NewResponse(response), nil
}

// ShowTrust lists the CAs that this gateway trusts.
func (h Handler) ShowTrust(context.Context, *connect.Request[controlpb.ShowTrustRequest]) (*connect.Response[controlpb.ShowTrustResponse], error) {
	federation, err := h.Agent.Member()
	if err != nil {
		return nil, err
	}
	response := &controlpb.ShowTrustResponse{}
	for _, e := range federation.Trust().Entries(federation.View()) {
		response.Datacenters = append(response.Datacenters, &controlpb.TrustedDatacenter{
			Name: string(e.Datacenter), Fingerprint: e.Pin.String(), CatalogFingerprint: e.InCatalog,
			Signed: e.Signed, Version: e.Version, UnsignedGateways: e.Unsigned,
		})
	}
	return connect.NewResponse(response), nil
}

// AcceptTrust replaces the CA of a datacenter that this gateway trusts.
func (h Handler) AcceptTrust(_ context.Context, r *connect.Request[controlpb.AcceptTrustRequest]) (*connect.Response[controlpb.AcceptTrustResponse], error) {
	federation, err := h.Agent.Member()
	if err != nil {
		return nil, err
	}
	if err := catalog.ValidateName(r.Msg.GetDatacenter()); err != nil {
		return nil, invalid("datacenter", fmt.Sprintf("%q: %v", r.Msg.GetDatacenter(), err), "name a datacenter of meshctl trust show")
	}
	var pin identity.Pin
	if err := pin.UnmarshalText([]byte(r.Msg.GetFingerprint())); err != nil {
		return nil, invalid("fingerprint", "the fingerprint is not a SHA-256 in hexadecimal", "copy the 64 digits that meshctl trust show prints on a gateway of the datacenter")
	}
	former, known, err := federation.Trust().Accept(federation.View(), catalog.DatacenterName(r.Msg.GetDatacenter()), pin)
	if err != nil {
		return nil, err
	}
	response := &controlpb.AcceptTrustResponse{}
	if known {
		response.FormerFingerprint = former.String()
	}
	return connect.NewResponse(response), nil
}

// RotateCA replaces the CA of this datacenter and streams the steps.
func (h Handler) RotateCA(ctx context.Context, r *connect.Request[controlpb.RotateCARequest], stream *connect.ServerStream[controlpb.Progress]) error {
	ctx = context.WithoutCancel(ctx)
	request := membership.RotateRequest{DryRun: r.Msg.GetDryRun(), Again: r.Msg.GetAgain()}
	if err := h.Agent.RotateCA(ctx, request, sendTo(stream)); err != nil {
		return err
	}
	message := "the CA is replaced"
	if request.DryRun {
		message = "nothing was changed"
	}
	return stream.Send(&controlpb.Progress{Step: "done", Message: message, Done: true})
}

// Drain drains this gateway and streams the steps.
func (h Handler) Drain(ctx context.Context, r *connect.Request[controlpb.DrainRequest], stream *connect.ServerStream[controlpb.Progress]) error {
	// The drain goes on if the caller disconnects: it must not stop halfway.
	ctx = context.WithoutCancel(ctx)
	request := membership.DrainRequest{Force: r.Msg.GetForce(), For: r.Msg.GetFor().AsDuration(), Bound: r.Msg.GetBound().AsDuration()}
	for field, given := range map[string]time.Duration{"for": request.For, "bound": request.Bound} {
		if given < 0 {
			return invalid(field, fmt.Sprintf("%s is negative", given), "write a duration such as 90s")
		}
	}
	if err := h.Agent.Drain(ctx, request, sendTo(stream)); err != nil {
		return err
	}
	return stream.Send(&controlpb.Progress{Step: "done", Message: "drained", Done: true})
}

// Undrain ends the drain of this gateway.
func (h Handler) Undrain(context.Context, *connect.Request[controlpb.UndrainRequest]) (*connect.Response[controlpb.UndrainResponse], error) {
	return connect.NewResponse(&controlpb.UndrainResponse{}), h.Agent.Undrain()
}

// sendTo sends steps to the caller. It ignores errors: the caller may be gone.
func sendTo(stream *connect.ServerStream[controlpb.Progress]) member.Progress {
	return func(step, message string) { _ = stream.Send(&controlpb.Progress{Step: step, Message: message}) }
}

// CreateToken creates a join token. Its text is only in this response: the catalog
// has a hash of the secret.
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
	response := &controlpb.ListTokensResponse{Freshness: fresh}
	for _, t := range view.Tokens() {
		token := t.Proto()
		token.SecretHash = nil
		response.Tokens = append(response.Tokens, token)
	}
	return connect.NewResponse(response), nil
}

// RevokeToken revokes a token that has not been used.
func (h Handler) RevokeToken(ctx context.Context, r *connect.Request[controlpb.RevokeTokenRequest]) (*connect.Response[controlpb.RevokeTokenResponse], error) {
	federation, err := h.Agent.Member()
	if err != nil {
		return nil, err
	}
	if _, err := catalog.One(federation.Propose(ctx, catalog.NewRevokeToken(r.Msg.GetId()))); err != nil {
		return nil, err
	}
	return connect.NewResponse(&controlpb.RevokeTokenResponse{}), nil
}

// ListServices lists the services of all datacenters.
func (h Handler) ListServices(ctx context.Context, r *connect.Request[controlpb.ListServicesRequest]) (*connect.Response[controlpb.ListServicesResponse], error) {
	view, fresh, err := h.read(ctx, r.Msg.GetMode())
	if err != nil {
		return nil, err
	}
	response := &controlpb.ListServicesResponse{Freshness: fresh}
	for _, s := range view.Services(replica.ServiceFilter{
		Namespace: r.Msg.GetNamespace(), Name: r.Msg.GetName(), Datacenter: catalog.DatacenterName(r.Msg.GetDatacenter()),
	}) {
		response.Services = append(response.Services, s.Proto())
	}
	response.Exports = exportedServices(view, replica.ExportFilter{
		Namespace: r.Msg.GetNamespace(), Name: r.Msg.GetName(), Datacenter: catalog.DatacenterName(r.Msg.GetDatacenter()),
	})
	return connect.NewResponse(response), nil
}

// RegisterService registers a service of this datacenter. Without a leader the
// registration is kept on disk, and the response reports that it is queued.
func (h Handler) RegisterService(ctx context.Context, r *connect.Request[controlpb.RegisterServiceRequest]) (*connect.Response[controlpb.RegisterServiceResponse], error) {
	service, err := catalog.ServiceFromProto(r.Msg.GetService())
	if err != nil {
		return nil, invalid("service", err.Error(), "run meshctl service register --help")
	}
	registrar, err := h.Agent.Registrar()
	if err != nil {
		return nil, err
	}
	index, queued, err := registrar.Register(ctx, service)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&controlpb.RegisterServiceResponse{Index: index, Queued: queued}), nil
}

// DeregisterService removes what this gateway registered.
func (h Handler) DeregisterService(ctx context.Context, r *connect.Request[controlpb.DeregisterServiceRequest]) (*connect.Response[controlpb.DeregisterServiceResponse], error) {
	registrar, err := h.Agent.Registrar()
	if err != nil {
		return nil, err
	}
	removed, queued, err := registrar.Deregister(ctx, r.Msg.GetNamespace(), r.Msg.GetName(), r.Msg.GetInstance())
	if err != nil {
		return nil, err
	}
	if removed == 0 {
		return nil, &catalog.Refusal{
			Code: "not-registered", Field: "name",
			Message: fmt.Sprintf("this gateway has registered no service %s", r.Msg.GetName()),
			Remedy:  "run meshctl services to list the gateway of each service; remove a service of the configuration file from that file",
		}
	}
	return connect.NewResponse(&controlpb.DeregisterServiceResponse{Removed: uint32(removed), Queued: queued}), nil //nolint:gosec // a count
}

// SaveSnapshot returns an archive of the catalog (package consensus/archive).
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

// Restore replaces the catalog with that of an archive.
func (h Handler) Restore(ctx context.Context, r *connect.Request[controlpb.RestoreRequest]) (*connect.Response[controlpb.RestoreResponse], error) {
	federation, err := h.Agent.Member()
	if err != nil {
		return nil, err
	}
	index, err := federation.Restore(ctx, r.Msg.GetArchive(), r.Msg.GetAcceptUnsigned())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&controlpb.RestoreResponse{Index: index}), nil
}

// PlanRestore returns what restoring an archive would change.
func (h Handler) PlanRestore(_ context.Context, r *connect.Request[controlpb.PlanRestoreRequest]) (*connect.Response[controlpb.PlanRestoreResponse], error) {
	federation, err := h.Agent.Member()
	if err != nil {
		return nil, err
	}
	plan, err := federation.PlanRestore(r.Msg.GetArchive(), r.Msg.GetAcceptUnsigned())
	if err != nil {
		return nil, err
	}
	response := new(controlpb.PlanRestoreResponse)
	for _, c := range plan.Changes {
		response.Changes = append(response.Changes, &controlpb.RestoreChange{Subject: c.Subject, What: c.What})
	}
	return connect.NewResponse(response), nil
}

func (h Handler) read(ctx context.Context, mode controlpb.ReadMode) (*replica.View, *controlpb.Freshness, error) {
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

func modeOf(mode controlpb.ReadMode) consensus.ReadMode {
	switch mode {
	case controlpb.ReadMode_READ_MODE_STALE:
		return consensus.StaleRead
	case controlpb.ReadMode_READ_MODE_CONSISTENT:
		return consensus.ConsistentRead
	default:
		return consensus.LeaseRead
	}
}

func invalid(field, message, remedy string) error {
	return &catalog.Refusal{Code: "invalid-argument", Field: field, Message: message, Remedy: remedy}
}

package control

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Bounds of messages, bytes.
const (
	maxJoinRequest = 256 << 10 // CA certificate and prefixes
	maxApply       = 8 << 20   // many commands of catalog.MaxCommandSize
	maxSmall       = 4 << 10
	maxEnrol       = 64 << 10 // one gateway
	// maxCommands bounds one call of Apply: it becomes one entry of the log.
	maxCommands = 4096
)

const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = time.Minute
	writeTimeout      = 3 * time.Minute // a snapshot over a slow line
	idleTimeout       = 2 * time.Minute
)

// Service is what other gateways can ask of this one.
type Service interface {
	// Join admits a datacenter. The caller has proven to hold the key of the CA in
	// the request and to be the gateway in it; the token is not checked yet.
	Join(ctx context.Context, request *controlpb.JoinRequest) (*controlpb.JoinResponse, error)
	// Enrol adds a gateway to its datacenter, or, with ask, only tells whether
	// the catalog has it. The caller has proven to be that gateway.
	Enrol(ctx context.Context, gateway catalog.Gateway, ask bool) (*controlpb.EnrolResponse, error)
	// Apply writes on behalf of another member: the author of each command is set
	// from its certificate.
	Apply(ctx context.Context, commands []*catalogpb.Command) ([]catalog.Result, error)
	ReadIndex(ctx context.Context, lease bool) (uint64, error)
	LeaderOperation(ctx context.Context, from catalog.GatewayID, operation *controlpb.LeaderOperationRequest) error
}

// newHTTP makes the server of the Federation service. It gets connections whose
// handshake is done.
func (p *Port) newHTTP() *http.Server {
	mux := http.NewServeMux()
	mux.Handle(controlpbconnect.NewFederationHandler(
		&federation{service: p.config.Service, sentinels: p.config.Sentinels, trust: p.trust, log: p.log},
		connect.WithInterceptors(rpc.NewInterceptor(p.config.Sentinels, nil)),
		connect.WithConditionalHandlerOptions(func(spec connect.Spec) []connect.HandlerOption {
			return []connect.HandlerOption{connect.WithReadMaxBytes(maxRequest(spec.Procedure))}
		}),
	))
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	return &http.Server{
		Handler:           p.authorise(mux),
		Protocols:         protocols,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
		ConnContext:       p.connContext,
	}
}

func maxRequest(procedure string) int {
	switch procedure {
	case controlpbconnect.FederationJoinProcedure:
		return maxJoinRequest
	case controlpbconnect.FederationEnrolProcedure:
		return maxEnrol
	case controlpbconnect.FederationApplyProcedure:
		return maxApply
	case controlpbconnect.FederationLeaderOperationProcedure:
		return rpc.MaxArchive
	}
	return maxSmall
}

// connContext lets calls find the session of their connection.
func (p *Port) connContext(ctx context.Context, conn net.Conn) context.Context {
	over, ok := conn.(*tls.Conn)
	if !ok {
		return ctx // authorise refuses calls without a session
	}
	s, ok := p.sessions.find(over.NetConn())
	if !ok {
		return ctx
	}
	return withSession(ctx, s)
}

// authorise stands before everything: it refuses before a byte of the request's
// body is read. Members may call all, strangers Join, nobody anything else.
func (p *Port) authorise(next http.Handler) http.Handler {
	refuse := connect.NewErrorWriter()
	rate := &joinRate{now: p.config.Now, spent: make(map[netip.Prefix]bucket)}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, ok := sessionFrom(r.Context())
		if !ok {
			_ = refuse.Write(w, r, connect.NewError(connect.CodePermissionDenied, errors.New("no session")))
			return
		}
		if r.URL.Path == controlpbconnect.FederationJoinProcedure {
			if !rate.allow(sourceOf(s.raw.RemoteAddr())) {
				_ = refuse.Write(w, r, connect.NewError(connect.CodeResourceExhausted, errors.New("too many attempts to join from this address; wait a few seconds")))
				return
			}
			next.ServeHTTP(w, r)
			return
		}
		peer, err := p.trust.peer(s.proof)
		if err != nil {
			p.refuseStranger(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(withPeer(r.Context(), peer)))
	})
}

type peerKey struct{}

func withPeer(ctx context.Context, peer identity.Peer) context.Context {
	return context.WithValue(ctx, peerKey{}, peer)
}

// PeerFrom returns the member that makes the call of this context.
func PeerFrom(ctx context.Context) (identity.Peer, bool) {
	peer, ok := ctx.Value(peerKey{}).(identity.Peer)
	return peer, ok
}

// federation translates between the wire and Service.
type federation struct {
	service   Service
	sentinels rpc.Sentinels
	trust     trust
	log       *slog.Logger
}

var _ controlpbconnect.FederationHandler = (*federation)(nil)

// Join implements controlpbconnect.FederationHandler.
func (f *federation) Join(ctx context.Context, request *connect.Request[controlpb.JoinRequest]) (*connect.Response[controlpb.JoinResponse], error) {
	if err := f.checkJoin(ctx, request.Msg); err != nil {
		return nil, err
	}
	response, err := f.service.Join(ctx, request.Msg)
	if err != nil {
		return nil, f.forStranger(err)
	}
	return connect.NewResponse(response), nil
}

// forStranger keeps what is not meant for the caller, such as paths of this host,
// from one who has proven nothing but a CA of its own.
func (f *federation) forStranger(err error) error {
	if remote, ok := errors.AsType[*connect.Error](f.sentinels.ToConnect(err)); ok && remote.Code() != connect.CodeUnknown {
		return remote
	}
	f.log.Warn("cannot admit a datacenter", "err", err)
	return connect.NewError(connect.CodeInternal,
		errors.New("the gateway that was asked has a problem of its own; look at the log of "+f.trust.certifier.Self().String()))
}

// checkJoin wants the caller to be the gateway that is to be admitted, by a
// certificate of the very CA that it hands over.
func (f *federation) checkJoin(ctx context.Context, request *controlpb.JoinRequest) error {
	s, ok := sessionFrom(ctx)
	if !ok {
		return connect.NewError(connect.CodePermissionDenied, errors.New("no session"))
	}
	ours := f.trust.certifier.Federation()
	if request.GetFederationId() != ours {
		return &catalog.Refusal{
			Code: catalog.CodeFederationDiffers, Field: "token",
			Message: "it is of federation " + request.GetFederationId() + " and the gateway that it names is in " + ours,
			Remedy:  "make a new token with \"meshctl token create\"",
		}
	}
	peer, err := identity.VerifyPossession(s.proof.chain, request.GetDatacenter().GetCaCertificate(), ours, f.trust.now())
	if err != nil {
		return &catalog.Refusal{
			Code: catalog.CodeCertificate, Field: "datacenter.ca_certificate", Message: err.Error(),
			Remedy: "the gateway must show a certificate of the CA that it hands over; compare the clocks of both hosts",
		}
	}
	named := identity.Peer{
		Datacenter: catalog.DatacenterName(request.GetDatacenter().GetName()),
		Gateway:    request.GetGateway().GetName(),
	}
	if peer != named {
		return &catalog.Refusal{
			Code: catalog.CodeCertificate, Field: "gateway",
			Message: "the certificate is of " + peer.String() + " and the request of " + named.String(),
			Remedy:  "use a data directory of its own for each gateway",
		}
	}
	return nil
}

// Apply implements controlpbconnect.FederationHandler.
func (f *federation) Apply(ctx context.Context, request *connect.Request[controlpb.ApplyRequest]) (*connect.Response[controlpb.ApplyResponse], error) {
	peer, ok := PeerFrom(ctx)
	if !ok {
		return nil, connect.NewError(connect.CodePermissionDenied, errors.New("no member"))
	}
	commands := request.Msg.GetCommands()
	if len(commands) == 0 || len(commands) > maxCommands {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("want 1 to 4096 commands"))
	}
	for _, command := range commands {
		// The caller's word does not count: the catalog authorises by this field.
		command.Author = string(peer.ID())
	}
	results, err := f.service.Apply(ctx, commands)
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
func (f *federation) ReadIndex(ctx context.Context, request *connect.Request[controlpb.ReadIndexRequest]) (*connect.Response[controlpb.ReadIndexResponse], error) {
	index, err := f.service.ReadIndex(ctx, request.Msg.GetLease())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&controlpb.ReadIndexResponse{Index: index}), nil
}

// LeaderOperation implements controlpbconnect.FederationHandler.
func (f *federation) LeaderOperation(ctx context.Context, request *connect.Request[controlpb.LeaderOperationRequest]) (*connect.Response[controlpb.LeaderOperationResponse], error) {
	peer, ok := PeerFrom(ctx)
	if !ok {
		return nil, connect.NewError(connect.CodePermissionDenied, errors.New("no member"))
	}
	if request.Msg.GetOperation() == nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("no operation"))
	}
	if err := f.service.LeaderOperation(ctx, peer.ID(), request.Msg); err != nil {
		return nil, err
	}
	f.log.Info("leader operation for another gateway", "gateway", string(peer.ID()))
	return connect.NewResponse(&controlpb.LeaderOperationResponse{}), nil
}

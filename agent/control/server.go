package control

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/control/internal/limit"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/rpc"
)

// Limits of requests in bytes, beside rpc.MaxArchive.
const (
	maxJoinRequest = 256 << 10 // CA certificate and prefixes
	maxApply       = 512 << 10 // the commands of an entry of the log, and their envelopes
	maxSmall       = 4 << 10
	maxAnswer      = 8 << 20  // the records in the results of Apply
	maxEnrol       = 64 << 10 // one gateway
)

const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = time.Minute
	writeTimeout      = 3 * time.Minute // a snapshot over a slow link
	idleTimeout       = 2 * time.Minute
)

// handler returns the Federation service. It serves calls that are authorised.
func (p *Port) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(controlpbconnect.NewFederationHandler(
		&federationHandler{service: p.cfg.Service, sentinels: p.cfg.Sentinels, trust: p.trust, log: p.log},
		connect.WithInterceptors(rpc.NewInterceptor(p.cfg.Sentinels, nil)),
		connect.WithCompressMinBytes(rpc.CompressFrom),
		connect.WithConditionalHandlerOptions(func(spec connect.Spec) []connect.HandlerOption {
			return []connect.HandlerOption{connect.WithReadMaxBytes(maxRequest(spec.Procedure))}
		}),
	))
	return mux
}

// newHTTP returns the server of the Federation service. It serves connections
// whose handshake is done.
func (p *Port) newHTTP() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	return &http.Server{
		Handler:           p.authorise(p.handler()),
		Protocols:         protocols,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    16 << 10,
		// What is received of requests that wait is in memory on up to maxCallers connections.
		HTTP2:       &http.HTTP2Config{MaxReceiveBufferPerConnection: maxApply, MaxReceiveBufferPerStream: maxApply},
		ErrorLog:    slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
		ConnContext: p.connContext,
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
	}
	return maxSmall
}

// sizeOf returns the most bytes that a request may have when it is decoded.
func sizeOf(r *http.Request) int64 {
	most := int64(maxRequest(r.URL.Path))
	if r.ContentLength < 0 || r.ContentLength > most || r.Header.Get("Content-Encoding") != "" {
		return most
	}
	return r.ContentLength
}

// connContext adds the session of a connection to the context of its calls.
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

// authorise refuses calls before the body of the request is read. Members may call
// every procedure, gateways that are not in the catalog but whose datacenter is only
// Enrol, and other callers only Join, at the rate of limit.JoinRate.
func (p *Port) authorise(next http.Handler) http.Handler {
	refuse := connect.NewErrorWriter()
	running := new(calls)
	rate := limit.NewJoinRate(p.cfg.Now)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, ok := sessionFrom(r.Context())
		if !ok {
			_ = refuse.Write(w, r, errNoSession())
			return
		}
		if r.URL.Path == controlpbconnect.FederationJoinProcedure {
			if !rate.Allow(limit.SourceOf(s.raw.RemoteAddr())) {
				_ = refuse.Write(w, r, connect.NewError(connect.CodeResourceExhausted,
					errors.New("too many attempts to join from this address; wait a few seconds")))
				return
			}
			if s.slot != nil {
				defer s.slot.Call()()
			}
			next.ServeHTTP(w, r)
			return
		}
		verify := p.trust.peer
		if r.URL.Path == controlpbconnect.FederationEnrolProcedure {
			verify = p.trust.certified
		}
		peer, err := verify(s.proof)
		if err != nil {
			p.refuseNonMember(w, r, err)
			return
		}
		leave, err := running.enter(r.Context(), peer.ID(), need{bytes: sizeOf(r), enrols: r.URL.Path == controlpbconnect.FederationEnrolProcedure})
		if err != nil {
			_ = refuse.Write(w, r, err) // too many calls, or the caller is gone
			return
		}
		defer leave()
		next.ServeHTTP(w, r.WithContext(withPeer(r.Context(), peer)))
	})
}

func errNoSession() *connect.Error {
	return connect.NewError(connect.CodePermissionDenied, errors.New("the connection has no session"))
}

type peerKey struct{}

func withPeer(ctx context.Context, peer identity.Peer) context.Context {
	return context.WithValue(ctx, peerKey{}, peer)
}

// callingMember returns the member that makes the call of this context.
func callingMember(ctx context.Context) (identity.Peer, error) {
	peer, ok := ctx.Value(peerKey{}).(identity.Peer)
	if !ok {
		return identity.Peer{}, connect.NewError(connect.CodePermissionDenied, errors.New("the caller is not a member of the federation"))
	}
	return peer, nil
}

package control

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// recorder is each port of a Service and checks what reaches it.
type recorder struct {
	t      *testing.T
	caller identity.Peer
}

func (r recorder) Join(context.Context, *controlpb.JoinRequest) (*controlpb.JoinResponse, error) {
	require.Fail(r.t, "the caller has no session, so that it has proved nothing")
	return nil, nil
}

func (r recorder) Enrol(_ context.Context, gateway catalog.Gateway, _ bool) (*controlpb.EnrolResponse, error) {
	require.Equal(r.t, r.caller.ID(), gateway.ID(), "the gateway that is enrolled")
	return &controlpb.EnrolResponse{}, nil
}

func (r recorder) Apply(_ context.Context, commands []*catalogpb.Command) ([]catalog.Result, error) {
	require.LessOrEqual(r.t, len(commands), maxCommands)
	for _, command := range commands {
		require.Equal(r.t, string(r.caller.ID()), command.GetAuthor())
	}
	return make([]catalog.Result, len(commands)), nil
}

func (r recorder) ReadIndex(context.Context, bool) (uint64, error) { return 1, nil }

func (r recorder) LeaderOperation(_ context.Context, from catalog.GatewayID, _ *controlpb.LeaderOperationRequest) error {
	require.Equal(r.t, r.caller.ID(), from)
	return nil
}

func (r recorder) Electorate() (*controlpb.ElectorateResponse, error) {
	return &controlpb.ElectorateResponse{}, nil
}

func (r recorder) Identify([]byte) (*controlpb.IdentifyResponse, error) {
	return &controlpb.IdentifyResponse{}, nil
}

func (r recorder) FindCopies(_ context.Context, from catalog.GatewayID, _ *controlpb.FindCopiesRequest) (*controlpb.FindCopiesResponse, error) {
	require.Equal(r.t, r.caller.ID(), from)
	return &controlpb.FindCopiesResponse{}, nil
}

// FuzzCall checks that no request of a member causes a panic, and that all of it is done
// in the name of the caller. The encoding and the compression are the caller's choice.
func FuzzCall(f *testing.F) {
	caller := identity.Peer{Datacenter: "west", Gateway: "gw1"}
	forged := &catalogpb.Command{Author: "east/gw1", Client: "c", Sequence: 1}
	for _, seed := range []struct {
		procedure string
		request   proto.Message
	}{
		{controlpbconnect.FederationApplyProcedure, &controlpb.ApplyRequest{Commands: []*catalogpb.Command{forged, catalog.NewRemoveDatacenter("east", true)}}},
		{controlpbconnect.FederationEnrolProcedure, &controlpb.EnrolRequest{FederationId: "f", Gateway: catalog.Gateway{Datacenter: "west", Name: "gw1"}.Proto()}},
		{controlpbconnect.FederationEnrolProcedure, &controlpb.EnrolRequest{FederationId: "f", Gateway: catalog.Gateway{Datacenter: "east", Name: "gw1"}.Proto()}},
		{controlpbconnect.FederationJoinProcedure, &controlpb.JoinRequest{FederationId: "f", Preview: true}},
		{controlpbconnect.FederationReadIndexProcedure, &controlpb.ReadIndexRequest{Lease: true}},
		{controlpbconnect.FederationElectorateProcedure, &controlpb.ElectorateRequest{}},
		{controlpbconnect.FederationIdentifyProcedure, &controlpb.IdentifyRequest{Challenge: []byte("challenge")}},
		{controlpbconnect.FederationFindCopiesProcedure, &controlpb.FindCopiesRequest{Challenge: []byte("challenge"), Process: []byte("process")}},
		{controlpbconnect.FederationLeaderOperationProcedure, &controlpb.LeaderOperationRequest{
			Operation: &controlpb.LeaderOperationRequest_RemovePeer{RemovePeer: &controlpb.RemovePeer{Id: "east/gw1"}},
		}},
	} {
		body, err := proto.Marshal(seed.request)
		require.NoError(f, err)
		f.Add(seed.procedure, "application/proto", "", body)
		f.Add(seed.procedure, "application/json", "gzip", body)
	}
	ca, err := identity.NewCA("west", time.Now())
	require.NoError(f, err)
	certifier := identity.NewCertifier(ca, "gw1", nil)
	certifier.SetFederation("f")
	f.Fuzz(func(t *testing.T, procedure, contentType, encoding string, body []byte) {
		p := &Port{log: slog.New(slog.DiscardHandler), trust: trust{certifier: certifier}}
		r := recorder{t: t, caller: caller}
		p.cfg.Service = Service{Admissions: r, Copies: r, Leadership: r, Consensus: r}
		request := httptest.NewRequest(http.MethodPost, controlpbconnect.FederationReadIndexProcedure, bytes.NewReader(body))
		request.URL.Path = procedure
		request.Header.Set("Content-Type", contentType)
		request.Header.Set("Content-Encoding", encoding)
		p.handler().ServeHTTP(httptest.NewRecorder(), request.WithContext(withPeer(t.Context(), caller)))
	})
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/agent/api/apipb/apipbconnect"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

var update = flag.Bool("update", false, "write the golden files")

// fakeMeshd answers from fixed data and records the requests.
type fakeMeshd struct {
	controlpbconnect.UnimplementedOperatorHandler
	snapshot status.Snapshot
	report   status.RoutesReport
	steps    []*controlpb.Progress
	services []*catalogpb.Service
	exports  []*controlpb.ExportedService
	err      error         // of every call
	hang     chan struct{} // if not nil, calls wait until it is closed or their context ends
	removed  uint32
	queued   bool
	requests []proto.Message
	onStatus func(calls int)
	onStream func()
	statuses int
	catalog  apipbconnect.CatalogHandler
}

// record stores a request and returns the error of the call.
func (o *fakeMeshd) record(ctx context.Context, request proto.Message) error {
	o.requests = append(o.requests, request)
	if o.hang != nil {
		select {
		case <-o.hang:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return o.err
}

func answer[T any](message *T, err error) (*connect.Response[T], error) {
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(message), nil
}

func (o *fakeMeshd) Version(ctx context.Context, r *connect.Request[controlpb.VersionRequest]) (*connect.Response[controlpb.VersionResponse], error) {
	return answer(&controlpb.VersionResponse{Version: "v0.1.0", Commit: "0123456789ab", Go: "go1.26.8"}, o.record(ctx, r.Msg))
}

func (o *fakeMeshd) Status(ctx context.Context, r *connect.Request[controlpb.StatusRequest]) (*connect.Response[controlpb.StatusResponse], error) {
	o.statuses++
	if o.onStatus != nil {
		o.onStatus(o.statuses)
	}
	document, err := json.Marshal(o.snapshot)
	if err != nil {
		return nil, err
	}
	return answer(&controlpb.StatusResponse{SnapshotJson: document}, o.record(ctx, r.Msg))
}

func (o *fakeMeshd) Routes(ctx context.Context, r *connect.Request[controlpb.RoutesRequest]) (*connect.Response[controlpb.RoutesResponse], error) {
	report := o.report
	if r.Msg.GetDestination() == "" {
		report.Destination = nil
	}
	document, err := json.Marshal(report)
	if err != nil {
		return nil, err
	}
	return answer(&controlpb.RoutesResponse{ReportJson: document}, o.record(ctx, r.Msg))
}

func (o *fakeMeshd) InitFederation(ctx context.Context, r *connect.Request[controlpb.InitFederationRequest]) (*connect.Response[controlpb.InitFederationResponse], error) {
	return answer(&controlpb.InitFederationResponse{
		Federation: &catalogpb.Federation{Id: federationID, Name: r.Msg.GetName(), Overlay: "fd5e:1f0c:77aa::/48", CreatedAt: timestamppb.New(noon)},
		Gateway:    "east/gw1", OverlayAddress: "fd5e:1f0c:77aa::1",
	}, o.record(ctx, r.Msg))
}

func (o *fakeMeshd) CreateToken(ctx context.Context, r *connect.Request[controlpb.CreateTokenRequest]) (*connect.Response[controlpb.CreateTokenResponse], error) {
	return answer(&controlpb.CreateTokenResponse{
		Token: secretToken, Id: "7kq2m4", ExpiresAt: timestamppb.New(noon.Add(r.Msg.GetTtl().AsDuration())), Endpoints: []string{"192.0.2.1:7443"},
	}, o.record(ctx, r.Msg))
}

func (o *fakeMeshd) ListEvents(ctx context.Context, r *connect.Request[controlpb.ListEventsRequest]) (*connect.Response[controlpb.ListEventsResponse], error) {
	events := []*controlpb.Event{
		{Index: 40, At: timestamppb.New(before(time.Hour)), Author: "east/gw1", Kind: "join", Subject: "datacenter north"},
		{Index: 41, At: timestamppb.New(before(time.Minute)), Author: "west/gw2", Kind: "put-services", Subject: "services: 2"},
	}
	events = slices.DeleteFunc(events, func(e *controlpb.Event) bool { return e.GetIndex() <= r.Msg.GetAfter() })
	return answer(&controlpb.ListEventsResponse{Events: events, Freshness: freshness(), Through: freshness().GetIndex()}, o.record(ctx, r.Msg))
}

func (o *fakeMeshd) ListTokens(ctx context.Context, r *connect.Request[controlpb.ListTokensRequest]) (*connect.Response[controlpb.ListTokensResponse], error) {
	return answer(&controlpb.ListTokensResponse{Tokens: tokens(), Freshness: freshness()}, o.record(ctx, r.Msg))
}

func (o *fakeMeshd) AllowPrefixes(ctx context.Context, r *connect.Request[controlpb.AllowPrefixesRequest]) (*connect.Response[controlpb.AllowPrefixesResponse], error) {
	return answer(&controlpb.AllowPrefixesResponse{
		Allowed: []*catalogpb.AllowedPrefix{{Cidr: "203.0.113.0/24", AllowedBy: "east"}},
	}, o.record(ctx, r.Msg))
}

func (o *fakeMeshd) SetLimits(ctx context.Context, r *connect.Request[controlpb.SetLimitsRequest]) (*connect.Response[controlpb.SetLimitsResponse], error) {
	return answer(&controlpb.SetLimitsResponse{Limits: []*controlpb.ResourceLimit{
		{Resource: "services", Most: 20_000, Default: 10_000, Highest: 40_000, Set: []*catalogpb.Limit{
			{Resource: "services", Most: 20_000, SetBy: "east"}, {Resource: "services", Most: 15_000, SetBy: "north"},
		}},
		{Resource: "memory", Most: 48 << 20, Default: 48 << 20, Highest: 192 << 20},
	}}, o.record(ctx, r.Msg))
}

func (o *fakeMeshd) RevokeToken(ctx context.Context, r *connect.Request[controlpb.RevokeTokenRequest]) (*connect.Response[controlpb.RevokeTokenResponse], error) {
	return answer(&controlpb.RevokeTokenResponse{}, o.record(ctx, r.Msg))
}

func (o *fakeMeshd) JoinFederation(ctx context.Context, r *connect.Request[controlpb.JoinFederationRequest], stream *connect.ServerStream[controlpb.Progress]) error {
	return o.stream(ctx, r.Msg, stream)
}

func (o *fakeMeshd) Drain(ctx context.Context, r *connect.Request[controlpb.DrainRequest], stream *connect.ServerStream[controlpb.Progress]) error {
	return o.stream(ctx, r.Msg, stream)
}

func (o *fakeMeshd) Undrain(ctx context.Context, r *connect.Request[controlpb.UndrainRequest]) (*connect.Response[controlpb.UndrainResponse], error) {
	return answer(&controlpb.UndrainResponse{}, o.record(ctx, r.Msg))
}

func (o *fakeMeshd) RotateCA(ctx context.Context, r *connect.Request[controlpb.RotateCARequest], stream *connect.ServerStream[controlpb.Progress]) error {
	return o.stream(ctx, r.Msg, stream)
}

func (o *fakeMeshd) Leave(ctx context.Context, r *connect.Request[controlpb.LeaveRequest], stream *connect.ServerStream[controlpb.Progress]) error {
	return o.stream(ctx, r.Msg, stream)
}

func (o *fakeMeshd) RemoveDatacenter(ctx context.Context, r *connect.Request[controlpb.RemoveDatacenterRequest]) (*connect.Response[controlpb.RemoveDatacenterResponse], error) {
	return answer(&controlpb.RemoveDatacenterResponse{
		Datacenter: &catalogpb.Datacenter{Name: r.Msg.GetDatacenter(), Prefixes: []*catalogpb.Prefix{{Cidr: "10.2.0.0/16"}, {Cidr: "10.98.0.0/16"}}},
		Gateways:   []string{"west/gw1", "west/gw2"}, Index: 1208,
	}, o.record(ctx, r.Msg))
}

func (o *fakeMeshd) ShowTrust(ctx context.Context, r *connect.Request[controlpb.ShowTrustRequest]) (*connect.Response[controlpb.ShowTrustResponse], error) {
	pin := func(digits string) string { return strings.Repeat(digits, 32) }
	return answer(&controlpb.ShowTrustResponse{Datacenters: []*controlpb.TrustedDatacenter{
		{Name: "east", Fingerprint: pin("0e"), CatalogFingerprint: pin("0e"), Signed: true, Version: 1767322800000},
		{Name: "north", Fingerprint: pin("4a"), CatalogFingerprint: pin("4a"), UnsignedGateways: []string{"gw1", "gw2"}},
		{Name: "south", Fingerprint: pin("7c"), Signed: true},
		{Name: "west", Fingerprint: pin("3d"), CatalogFingerprint: pin("5f"), Signed: true, Version: 1767322800000},
	}}, o.record(ctx, r.Msg))
}

func (o *fakeMeshd) AcceptTrust(ctx context.Context, r *connect.Request[controlpb.AcceptTrustRequest]) (*connect.Response[controlpb.AcceptTrustResponse], error) {
	return answer(&controlpb.AcceptTrustResponse{FormerFingerprint: strings.Repeat("3d", 32)}, o.record(ctx, r.Msg))
}

func (o *fakeMeshd) stream(ctx context.Context, request proto.Message, stream *connect.ServerStream[controlpb.Progress]) error {
	for _, step := range o.steps {
		if err := stream.Send(step); err != nil {
			return err
		}
	}
	if o.onStream != nil {
		o.onStream()
	}
	return o.record(ctx, request)
}

func (o *fakeMeshd) ListServices(ctx context.Context, r *connect.Request[controlpb.ListServicesRequest]) (*connect.Response[controlpb.ListServicesResponse], error) {
	return answer(&controlpb.ListServicesResponse{Services: o.services, Exports: o.exports, Freshness: freshness()}, o.record(ctx, r.Msg))
}

func (o *fakeMeshd) RegisterService(ctx context.Context, r *connect.Request[controlpb.RegisterServiceRequest]) (*connect.Response[controlpb.RegisterServiceResponse], error) {
	return answer(&controlpb.RegisterServiceResponse{Index: 42, Queued: o.queued}, o.record(ctx, r.Msg))
}

func (o *fakeMeshd) DeregisterService(ctx context.Context, r *connect.Request[controlpb.DeregisterServiceRequest]) (*connect.Response[controlpb.DeregisterServiceResponse], error) {
	return answer(&controlpb.DeregisterServiceResponse{Removed: o.removed, Queued: o.queued}, o.record(ctx, r.Msg))
}

func (o *fakeMeshd) SaveSnapshot(ctx context.Context, r *connect.Request[controlpb.SaveSnapshotRequest]) (*connect.Response[controlpb.SaveSnapshotResponse], error) {
	return answer(&controlpb.SaveSnapshotResponse{Archive: []byte("archive\x00"), Index: 42}, o.record(ctx, r.Msg))
}

func (o *fakeMeshd) Restore(ctx context.Context, r *connect.Request[controlpb.RestoreRequest]) (*connect.Response[controlpb.RestoreResponse], error) {
	return answer(&controlpb.RestoreResponse{Index: 43}, o.record(ctx, r.Msg))
}

func (o *fakeMeshd) PlanRestore(ctx context.Context, r *connect.Request[controlpb.PlanRestoreRequest]) (*connect.Response[controlpb.PlanRestoreResponse], error) {
	return answer(&controlpb.PlanRestoreResponse{Changes: []*controlpb.RestoreChange{
		{Subject: "datacenter west", What: "is removed: it is not in the snapshot, and has to join again"},
	}}, o.record(ctx, r.Msg))
}

func (o *fakeMeshd) ListPeers(ctx context.Context, r *connect.Request[controlpb.ListPeersRequest]) (*connect.Response[controlpb.ListPeersResponse], error) {
	return answer(&controlpb.ListPeersResponse{Peers: peers(), Freshness: freshness()}, o.record(ctx, r.Msg))
}

func (o *fakeMeshd) Operate(ctx context.Context, r *connect.Request[controlpb.OperateRequest]) (*connect.Response[controlpb.OperateResponse], error) {
	response := &controlpb.OperateResponse{}
	if r.Msg.GetRecover() != nil {
		response.FormerVoters = []string{"east/gw1", "west/gw1", "west/gw2"}
		response.Backup = "/var/lib/meshway/raft/before-recover"
	}
	return answer(response, o.record(ctx, r.Msg))
}

func freshness() *controlpb.Freshness {
	return &controlpb.Freshness{Index: 1207, Leader: "west/gw1", LastContact: durationpb.New(180 * time.Millisecond)}
}

// serve runs o on a unix socket in a temporary directory.
func serve(t *testing.T, o *fakeMeshd) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "meshd.sock")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle(controlpbconnect.NewOperatorHandler(o))
	if o.catalog != nil {
		mux.Handle(apipbconnect.NewCatalogHandler(o.catalog))
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: mux, Protocols: protocols, ReadHeaderTimeout: time.Minute}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		assert.NoError(t, server.Close())
		assert.ErrorIs(t, <-done, http.ErrServerClosed)
	})
	return socket
}

// result is the outcome of a run of meshctl.
type result struct {
	code     int
	out, err string
}

// meshctl runs meshctl against o, with the clock at noon.
func meshctl(t *testing.T, o *fakeMeshd, args ...string) result {
	t.Helper()
	return meshctlWithInput(t, o, "", args...)
}

func meshctlWithInput(t *testing.T, o *fakeMeshd, input string, args ...string) result {
	t.Helper()
	socket := serve(t, o)
	return runAt(t.Context(), func(string) string { return "" }, input, append([]string{"--socket", socket}, args...)...)
}

func runAt(ctx context.Context, getenv func(string) string, input string, args ...string) result {
	var out, errs bytes.Buffer
	a := newApp(getenv, strings.NewReader(input), &out, &errs)
	a.now = func() time.Time { return noon }
	return result{code: a.main(ctx, args), out: out.String(), err: errs.String()}
}

// golden compares got with a file of testdata, or writes it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

package admin_test

import (
	"context"
	"path/filepath"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/admin"
	"github.com/meshway/meshway/agent/admin/adminclient"
	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/membership"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes/routestest"
)

func handler(t *testing.T) admin.Handler {
	t.Helper()
	store, err := identity.Open(filepath.Join(t.TempDir(), "data"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	return admin.Handler{Agent: membership.New(membership.Config{
		File: config.Config{Datacenter: "east", Gateway: "gw"}, Identity: store,
	})}
}

func TestInvalidArgumentIsRefusedWithFieldAndRemedy(t *testing.T) {
	h, ctx := handler(t), t.Context()
	for field, call := range map[string]func() error{
		"name": func() error {
			_, err := h.InitFederation(ctx, connect.NewRequest(&controlpb.InitFederationRequest{Name: "No_Label"}))
			return err
		},
		"overlay": func() error {
			_, err := h.InitFederation(ctx, connect.NewRequest(&controlpb.InitFederationRequest{Overlay: "fd00::1/48"}))
			return err
		},
		"destination": func() error {
			_, err := h.Routes(ctx, connect.NewRequest(&controlpb.RoutesRequest{Destination: "nowhere"}))
			return err
		},
	} {
		t.Run(field, func(t *testing.T) {
			var refusal *catalog.Refusal
			require.ErrorAs(t, call(), &refusal)
			assert.Equal(t, field, refusal.Field)
			assert.NotEmpty(t, refusal.Remedy)
		})
	}
}

func TestCallsThatNeedAFederationAreRefusedWithoutOne(t *testing.T) {
	h, ctx := handler(t), t.Context()
	for name, call := range map[string]func() error{
		"create token": func() error {
			_, err := h.CreateToken(ctx, connect.NewRequest(&controlpb.CreateTokenRequest{}))
			return err
		},
		"list services": func() error {
			_, err := h.ListServices(ctx, connect.NewRequest(&controlpb.ListServicesRequest{}))
			return err
		},
		"list peers": func() error {
			_, err := h.ListPeers(ctx, connect.NewRequest(&controlpb.ListPeersRequest{}))
			return err
		},
		"save snapshot": func() error {
			_, err := h.SaveSnapshot(ctx, connect.NewRequest(&controlpb.SaveSnapshotRequest{}))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			var refusal *catalog.Refusal
			require.ErrorAs(t, call(), &refusal)
			assert.Equal(t, "not-a-member", refusal.Code)
			assert.Contains(t, refusal.Remedy, "meshctl init")
		})
	}
}

// node serves a node that has not run yet.
func node(t *testing.T) controlpbconnect.OperatorClient {
	t.Helper()
	handler := admin.NewNodeHandler(dataplane.NewNode(dataplane.NodeConfig{
		File:     config.Config{Datacenter: "east", Gateway: "n1"},
		Liveness: liveness.NewProber(liveness.Config{}), Kernel: dataplane.Kernel{Routes: routestest.NewKernel()},
	}))
	socket := filepath.Join(t.TempDir(), "meshd.sock")
	server := admin.NewServer(admin.Config{Socket: socket, Handler: handler, Refuse: handler.Refuse})
	require.NoError(t, server.Listen(t.Context()))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() { stop(); assert.NoError(t, <-done) })
	return adminclient.Dial(socket)
}

func TestNodeServesVersionStatusAndRoutes(t *testing.T) {
	client, ctx := node(t), t.Context()
	_, err := client.Version(ctx, connect.NewRequest(&controlpb.VersionRequest{}))
	require.NoError(t, err)
	answer, err := client.Status(ctx, connect.NewRequest(&controlpb.StatusRequest{}))
	require.NoError(t, err)
	assert.Contains(t, string(answer.Msg.GetSnapshotJson()), `"state":"node"`)
	found, err := client.Routes(ctx, connect.NewRequest(&controlpb.RoutesRequest{Destination: "10.2.0.1"}))
	require.NoError(t, err)
	assert.Contains(t, string(found.Msg.GetReportJson()), "10.2.0.1 belongs to no datacenter")
	_, err = client.Routes(ctx, connect.NewRequest(&controlpb.RoutesRequest{Destination: "nowhere"}))
	var refusal *catalog.Refusal
	require.ErrorAs(t, rpc.FromConnect(err), &refusal)
	assert.Equal(t, "destination", refusal.Field)
}

func TestNodeRefusesAllOtherProcedures(t *testing.T) {
	client := node(t)
	_, err := client.CreateToken(t.Context(), connect.NewRequest(&controlpb.CreateTokenRequest{}))
	var refusal *catalog.Refusal
	require.ErrorAs(t, rpc.FromConnect(err), &refusal)
	assert.Contains(t, refusal.Message, "this node is not a gateway: ")
	stream, err := client.Leave(t.Context(), connect.NewRequest(&controlpb.LeaveRequest{}))
	require.NoError(t, err)
	assert.False(t, stream.Receive())
	require.ErrorAs(t, rpc.FromConnect(stream.Err()), &refusal)
	assert.Equal(t, "not-a-gateway", refusal.Code)
	require.NoError(t, stream.Close())

	methods := controlpb.File_agent_control_controlpb_control_proto.Services().ByName("Operator").Methods()
	served := map[string]bool{"Version": true, "Status": true, "Routes": true}
	for i := range methods.Len() {
		name := string(methods.Get(i).Name())
		err := admin.NodeHandler{}.Refuse("/" + controlpbconnect.OperatorName + "/" + name)
		assert.Equal(t, served[name], err == nil, name)
	}
}

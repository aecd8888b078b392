package operator_test

import (
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent"
	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/operator"
	"github.com/meshway/meshway/consensus/catalog"
)

func handler() operator.Handler {
	return operator.Handler{Agent: agent.New(agent.Deps{Config: config.Config{Datacenter: "east", Gateway: "gw"}})}
}

func TestBadArgumentsAreRefusedWithFieldAndRemedy(t *testing.T) {
	h, ctx := handler(), t.Context()
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

func TestWithoutAFederationEveryCallSaysHowToGetIntoOne(t *testing.T) {
	h, ctx := handler(), t.Context()
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

// Package completion lists the words that complete arguments. It uses stale reads, so that
// completion works without a leader.
package completion

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
)

// Services returns the names of the registered services.
func Services(ctx context.Context, client controlpbconnect.OperatorClient) ([]string, error) {
	response, err := client.ListServices(ctx, connect.NewRequest(&controlpb.ListServicesRequest{Mode: controlpb.ReadMode_READ_MODE_STALE}))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, service := range response.Msg.GetServices() {
		names = append(names, service.GetName())
	}
	return names, nil
}

// Tokens returns a function that returns the ids of the tokens that are valid now.
func Tokens(now time.Time) func(context.Context, controlpbconnect.OperatorClient) ([]string, error) {
	return func(ctx context.Context, client controlpbconnect.OperatorClient) ([]string, error) {
		response, err := client.ListTokens(ctx, connect.NewRequest(&controlpb.ListTokensRequest{Mode: controlpb.ReadMode_READ_MODE_STALE}))
		if err != nil {
			return nil, err
		}
		var ids []string
		for _, token := range views.NewTokens(response.Msg, now).Tokens {
			if token.State == "valid" {
				ids = append(ids, token.ID)
			}
		}
		return ids, nil
	}
}

// Peers returns the ids of the raft peers.
func Peers(ctx context.Context, client controlpbconnect.OperatorClient) ([]string, error) {
	response, err := client.ListPeers(ctx, connect.NewRequest(&controlpb.ListPeersRequest{}))
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, peer := range response.Msg.GetPeers() {
		ids = append(ids, peer.GetId())
	}
	return ids, nil
}

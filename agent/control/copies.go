package control

import (
	"context"
	"net"
	"net/http"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/consensus/catalog"
)

// Copies serves the search for other hosts that run a gateway.
type Copies interface {
	// Identify signs a challenge as the process that runs this gateway.
	Identify(challenge []byte) (*controlpb.IdentifyResponse, error)
	// FindCopies conveys a challenge of the member from to what answers at its addresses.
	FindCopies(ctx context.Context, from catalog.GatewayID, request *controlpb.FindCopiesRequest) (*controlpb.FindCopiesResponse, error)
}

// Identify implements controlpbconnect.FederationHandler.
func (h *federationHandler) Identify(_ context.Context, request *connect.Request[controlpb.IdentifyRequest]) (*connect.Response[controlpb.IdentifyResponse], error) {
	return responseOf(h.service.Identify(request.Msg.GetChallenge()))
}

// FindCopies implements controlpbconnect.FederationHandler.
func (h *federationHandler) FindCopies(ctx context.Context, request *connect.Request[controlpb.FindCopiesRequest]) (*connect.Response[controlpb.FindCopiesResponse], error) {
	peer, err := callingMember(ctx)
	if err != nil {
		return nil, err
	}
	return responseOf(h.service.FindCopies(ctx, peer.ID(), request.Msg))
}

// FindCopies calls another gateway, which searches at the addresses of this one.
func (c *Client) FindCopies(ctx context.Context, at catalog.GatewayID, request *controlpb.FindCopiesRequest) (*controlpb.FindCopiesResponse, error) {
	callee, err := c.to(at)
	if err != nil {
		return nil, err
	}
	return messageOf(callee.FindCopies(ctx, connect.NewRequest(request)))
}

// Identify calls the process that runs the gateway id at one address, on a connection
// of its own: those of Client belong to the process that answered first.
func (p *Port) Identify(ctx context.Context, id catalog.GatewayID, address string, challenge []byte) (*controlpb.IdentifyResponse, error) {
	url, err := urlOf(id)
	if err != nil {
		return nil, err
	}
	transport := newTransport(func(ctx context.Context, _, _ string) (net.Conn, error) {
		return p.dial(ctx, id, address, protocolRPC)
	})
	defer transport.CloseIdleConnections()
	client := controlpbconnect.NewFederationClient(&http.Client{Transport: transport}, url, connect.WithReadMaxBytes(maxEnrol))
	return messageOf(client.Identify(ctx, connect.NewRequest(&controlpb.IdentifyRequest{Challenge: challenge})))
}

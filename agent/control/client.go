package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

const (
	// callTimeout bounds a call whose caller sets no deadline.
	callTimeout = 15 * time.Second
	// archiveTimeout is callTimeout of calls that carry a snapshot.
	archiveTimeout = 3 * time.Minute
	// A connection on which nothing came for pingAfter is asked for a sign of
	// life and closed after pingTimeout without one.
	pingAfter   = 5 * time.Second
	pingTimeout = 5 * time.Second
)

// Client calls other gateways. It keeps one HTTP/2 connection to each.
// Errors are *catalog.Refusal, one of the port's sentinels, *UnreachableError when
// nothing was sent, or a *connect.Error after which the call may have had effect.
type Client struct {
	transport *http.Transport
	http      *http.Client
	sentinels rpc.Sentinels
}

type dialFunc func(ctx context.Context, id catalog.GatewayID, address, protocol string) (net.Conn, error)

func newClient(dial dialFunc, addresses func(catalog.GatewayID) []string, sentinels rpc.Sentinels) *Client {
	transport := newTransport(func(ctx context.Context, _, host string) (net.Conn, error) {
		id, err := gatewayOf(host)
		if err != nil {
			return nil, err
		}
		return dialAny(ctx, id, addresses(id), func(ctx context.Context, address string) (net.Conn, error) {
			return dial(ctx, id, address, protocolRPC)
		})
	})
	return &Client{transport: transport, http: &http.Client{Transport: transport}, sentinels: sentinels}
}

// newTransport makes an HTTP/2 transport on connections whose TLS handshake is done.
func newTransport(dial func(ctx context.Context, network, host string) (net.Conn, error)) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	return &http.Transport{
		DialTLSContext:     dial,
		Protocols:          protocols,
		IdleConnTimeout:    idleTimeout,
		DisableCompression: true,
		HTTP2:              &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
}

// The host of a URL names a gateway and is never resolved: gateway.datacenter.
// Both are DNS labels, so that it is a legal host and has one reading.
func urlOf(id catalog.GatewayID) (string, error) {
	peer, err := identity.ParsePeer(id)
	if err != nil {
		return "", err
	}
	return "https://" + peer.Gateway + "." + string(peer.Datacenter), nil
}

func gatewayOf(hostPort string) (catalog.GatewayID, error) {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		return "", err
	}
	gateway, dc, ok := strings.Cut(host, ".")
	if !ok {
		return "", fmt.Errorf("dial %q: it names no gateway", host)
	}
	return catalog.NewGatewayID(catalog.DatacenterName(dc), gateway), nil
}

func (c *Client) to(id catalog.GatewayID) (controlpbconnect.FederationClient, error) {
	url, err := urlOf(id)
	if err != nil {
		return nil, err
	}
	return controlpbconnect.NewFederationClient(c.http, url, connect.WithReadMaxBytes(maxApply)), nil
}

// Apply writes through another gateway, which sets the author of each command
// from our certificate.
func (c *Client) Apply(ctx context.Context, to catalog.GatewayID, commands []*catalogpb.Command) ([]catalog.Result, error) {
	ctx, cancel := withDeadline(ctx, callTimeout)
	defer cancel()
	client, err := c.to(to)
	if err != nil {
		return nil, err
	}
	response, err := client.Apply(ctx, connect.NewRequest(&controlpb.ApplyRequest{Commands: commands}))
	if err != nil {
		return nil, c.explain(err)
	}
	if got := len(response.Msg.GetResults()); got != len(commands) {
		return nil, fmt.Errorf("apply on %s: %d results for %d commands", to, got, len(commands))
	}
	results := make([]catalog.Result, len(commands))
	for i, result := range response.Msg.GetResults() {
		if results[i], err = catalog.ResultFromProto(result); err != nil {
			return nil, fmt.Errorf("apply on %s: result %d: %w", to, i, err)
		}
	}
	return results, nil
}

// ReadIndex asks another gateway for the index that a read has to wait for.
func (c *Client) ReadIndex(ctx context.Context, to catalog.GatewayID, lease bool) (uint64, error) {
	ctx, cancel := withDeadline(ctx, callTimeout)
	defer cancel()
	client, err := c.to(to)
	if err != nil {
		return 0, err
	}
	response, err := client.ReadIndex(ctx, connect.NewRequest(&controlpb.ReadIndexRequest{Lease: lease}))
	if err != nil {
		return 0, c.explain(err)
	}
	return response.Msg.GetIndex(), nil
}

// LeaderOperation asks another gateway for what only the leader can do.
func (c *Client) LeaderOperation(ctx context.Context, to catalog.GatewayID, operation *controlpb.LeaderOperationRequest) error {
	ctx, cancel := withDeadline(ctx, archiveTimeout)
	defer cancel()
	client, err := c.to(to)
	if err != nil {
		return err
	}
	_, err = client.LeaderOperation(ctx, connect.NewRequest(operation))
	return c.explain(err)
}

// explain finds the error that says most in one of the RPC library.
func (c *Client) explain(err error) error {
	if unreachable, ok := errors.AsType[*UnreachableError](err); ok {
		return unreachable
	}
	return c.sentinels.FromConnect(err)
}

func (c *Client) close() { c.transport.CloseIdleConnections() }

// withDeadline bounds a call whose caller did not.
func withDeadline(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

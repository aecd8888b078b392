package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
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
	// archiveTimeout replaces callTimeout for calls that carry a snapshot.
	archiveTimeout = 3 * time.Minute
	// A connection that received nothing for pingAfter is sent a ping and closed
	// if it receives nothing for another pingTimeout.
	pingAfter   = 5 * time.Second
	pingTimeout = 5 * time.Second
)

// Client calls other gateways. It keeps one HTTP/2 connection to each.
// Errors are *catalog.Refusal, one of the port's sentinels, *UnreachableError if
// nothing was sent, or a *connect.Error, after which the call may have had effect.
type Client struct {
	transport *http.Transport
	http      *http.Client
	sentinels rpc.Sentinels

	mu      sync.Mutex // guards callees
	callees map[catalog.GatewayID]*callee
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
	return &Client{transport: transport, http: &http.Client{Transport: transport}, sentinels: sentinels, callees: make(map[catalog.GatewayID]*callee)}
}

// newTransport returns an HTTP/2 transport for connections whose TLS handshake is
// done.
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

// urlOf returns the URL of a gateway. Its host is gateway.datacenter, both of which
// are DNS labels, so the host is valid and unambiguous. It is never resolved.
func urlOf(id catalog.GatewayID) (string, error) {
	peer, err := identity.ParsePeer(id)
	if err != nil {
		return "", err
	}
	return "https://" + peer.Gateway + "." + string(peer.Datacenter), nil
}

// gatewayOf returns the gateway in the host of a URL by urlOf.
func gatewayOf(hostPort string) (catalog.GatewayID, error) {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		return "", err
	}
	gateway, dc, ok := strings.Cut(host, ".")
	if !ok {
		return "", fmt.Errorf("dial %q: not the name of a gateway", host)
	}
	return catalog.NewGatewayID(catalog.DatacenterName(dc), gateway), nil
}

func (c *Client) to(id catalog.GatewayID) (*callee, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.callees[id]; known != nil {
		return known, nil
	}
	url, err := urlOf(id)
	if err != nil {
		return nil, err
	}
	made := newCallee(id, controlpbconnect.NewFederationClient(c.http, url, connect.WithReadMaxBytes(maxAnswer)))
	c.callees[id] = made
	return made, nil
}

// Apply writes to the catalog through another gateway, which sets the author of
// each command to the name in the certificate of this one. Concurrent calls share
// messages.
func (c *Client) Apply(ctx context.Context, to catalog.GatewayID, commands []*catalogpb.Command) ([]catalog.Result, error) {
	ctx, cancel := withDeadline(ctx, callTimeout)
	defer cancel()
	callee, err := c.to(to)
	if err != nil {
		return nil, err
	}
	outcome, err := callee.apply.Call(ctx, commands, weightOf(commands))
	if err == nil {
		err = outcome.err
	}
	return outcome.results, c.explain(err)
}

// ReadIndex returns the index that a read has to wait for, as another gateway
// reports it. Concurrent calls share messages, which are sent after the calls began.
func (c *Client) ReadIndex(ctx context.Context, to catalog.GatewayID, lease bool) (uint64, error) {
	ctx, cancel := withDeadline(ctx, callTimeout)
	defer cancel()
	callee, err := c.to(to)
	if err != nil {
		return 0, err
	}
	reads := &callee.confirmed
	if lease {
		reads = &callee.leased
	}
	index, err := reads.Call(ctx, struct{}{}, 0)
	return index, c.explain(err)
}

// Electorate returns the gateways that vote, as another gateway has them.
func (c *Client) Electorate(ctx context.Context, to catalog.GatewayID) (*controlpb.ElectorateResponse, error) {
	ctx, cancel := withDeadline(ctx, callTimeout)
	defer cancel()
	client, err := c.to(to)
	if err != nil {
		return nil, err
	}
	response, err := client.Electorate(ctx, connect.NewRequest(&controlpb.ElectorateRequest{}))
	if err != nil {
		return nil, c.explain(err)
	}
	return response.Msg, nil
}

// LeaderOperation runs an operation of the leader on another gateway.
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

// explain returns the most specific error in an error of the RPC library.
func (c *Client) explain(err error) error {
	if unreachable, ok := errors.AsType[*UnreachableError](err); ok {
		return unreachable
	}
	return c.sentinels.FromConnect(err)
}

func (c *Client) close() { c.transport.CloseIdleConnections() }

// withDeadline sets a deadline unless ctx has one.
func withDeadline(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

// Package apiclient is a client of the catalog of a meshd for programs: of its unix
// socket, or of catalog.listen with a token.
package apiclient

import (
	"context"
	"net"
	"net/http"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/api/apipb/apipbconnect"
	"github.com/meshway/meshway/tunnel/secret"
)

// Client is a client of one meshd. Its methods List, Get, Register and Deregister are
// those of service meshway.catalog.v1.Catalog; errors have the code of Connect, and
// rpc.FromConnect returns the refusal in them.
type Client struct {
	apipbconnect.CatalogClient
}

// Socket returns a client of the meshd that listens on a unix socket.
func Socket(path string) *Client {
	return New(func(ctx context.Context) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", path)
	})
}

// New returns a client of the meshd that dial connects to.
func New(dial func(context.Context) (net.Conn, error)) *Client {
	transport := newTransport()
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	return &Client{apipbconnect.NewCatalogClient(&http.Client{Transport: transport}, "http://meshd")}
}

// Port returns a client of the meshd at url, http:// and the address of catalog.listen,
// with a token of catalog.tokens.
func Port(url, token string) *Client {
	client := &http.Client{Transport: newTransport()}
	return &Client{apipbconnect.NewCatalogClient(client, url, connect.WithInterceptors(bearer{secret.Of(token)}))}
}

// newTransport returns a transport that has all calls on one connection.
func newTransport() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{Protocols: protocols}
}

// bearer adds a token to the calls.
type bearer struct{ token secret.Value[string] }

// WrapUnary implements connect.Interceptor.
func (b bearer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		b.sign(r.Header())
		return next(ctx, r)
	}
}

// WrapStreamingClient implements connect.Interceptor.
func (b bearer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		b.sign(conn.RequestHeader())
		return conn
	}
}

// WrapStreamingHandler implements connect.Interceptor; it changes nothing.
func (bearer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

func (b bearer) sign(header http.Header) { header.Set("Authorization", "Bearer "+b.token.Reveal()) }

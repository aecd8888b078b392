package api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/api/apipb"
	"github.com/meshway/meshway/agent/api/apipb/apipbconnect"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/feed"
)

// oneConn is a listener with one connection.
type oneConn struct {
	conns chan net.Conn
}

func (l oneConn) Accept() (net.Conn, error) {
	conn, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (oneConn) Close() error   { return nil }
func (oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "test", Net: "unix"} }

func TestCallOfAProgramThatDoesNotReadEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open, ended := new(openCalls), make(chan error, 1)
		handler := open.limit(bounded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var err error
			for err == nil {
				limitSending(responseOf(r.Context()))
				_, err = w.Write(make([]byte, 64<<10))
			}
			ended <- err
		})))
		near, far := net.Pipe()
		listener := oneConn{make(chan net.Conn, 1)}
		listener.conns <- far
		server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
		served := make(chan error, 1)
		go func() { served <- server.Serve(listener) }()
		began := time.Now()
		_, err := near.Write([]byte("POST / HTTP/1.1\r\nHost: meshd\r\nContent-Length: 0\r\n\r\n"))
		require.NoError(t, err)
		require.ErrorIs(t, <-ended, os.ErrDeadlineExceeded)
		assert.Equal(t, sendTimeout, time.Since(began))
		synctest.Wait()
		assert.Empty(t, open.open)
		close(listener.conns)
		require.ErrorIs(t, <-served, net.ErrClosed)
		require.NoError(t, server.Close())
		require.NoError(t, near.Close())
	})
}

// watchOf calls Watch of a catalog over HTTP/2, on a connection without buffers.
func watchOf(t *testing.T, catalog apipbconnect.CatalogHandler, read func(*connect.ServerStreamForClient[apipb.WatchResponse])) {
	t.Helper()
	near, far := net.Pipe()
	listener := oneConn{make(chan net.Conn, 1)}
	listener.conns <- far
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	path, handler := apipbconnect.NewCatalogHandler(catalog, connect.WithCompression("gzip", nil, nil))
	mux := http.NewServeMux()
	mux.Handle(path, bounded(handler))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute, Protocols: protocols}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	transport := &http.Transport{
		Protocols: protocols, HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10},
		DialContext: func(context.Context, string, string) (net.Conn, error) { return near, nil },
	}
	stream, err := apipbconnect.NewCatalogClient(&http.Client{Transport: transport}, "http://meshd").
		Watch(t.Context(), connect.NewRequest(&apipb.WatchRequest{}))
	require.NoError(t, err)
	read(stream)
	require.NoError(t, stream.Close())
	transport.CloseIdleConnections()
	close(listener.conns)
	require.ErrorIs(t, <-served, net.ErrClosed)
	require.NoError(t, server.Close())
}

// TestIdleWatchContinues is about HTTP/2, in which the time to write ends a stream also
// while nothing is written.
func TestIdleWatchContinues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		watchOf(t, idleWatch{}, func(stream *connect.ServerStreamForClient[apipb.WatchResponse]) {
			for range 2 {
				require.True(t, stream.Receive(), "%v", stream.Err())
			}
			require.False(t, stream.Receive())
			require.NoError(t, stream.Err())
		})
	})
}

// A program that reads a part within each 30 seconds would keep the state for hours.
func TestAWatchWhoseStateIsReadTooSlowlyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan time.Time, 1)
		began := time.Now()
		watchOf(t, stateWatch{ended: ended}, func(stream *connect.ServerStreamForClient[apipb.WatchResponse]) {
			for stream.Receive() {
				require.True(t, stream.Msg().GetState())
				time.Sleep(sendTimeout - time.Second)
			}
			assert.LessOrEqual(t, (<-ended).Sub(began), stateTimeout+sendTimeout)
			refusal, ok := errors.AsType[*catalog.Refusal](rpc.FromConnect(stream.Err()))
			require.True(t, ok, "%v", stream.Err())
			assert.Equal(t, CodeTooSlow, refusal.Code)
			assert.NotEmpty(t, refusal.Remedy)
		})
	})
}

// stateWatch is a catalog with 30,000 services.
type stateWatch struct {
	apipbconnect.UnimplementedCatalogHandler
	ended chan<- time.Time // gets when the state is no longer held
}

func (w stateWatch) Watch(ctx context.Context, _ *connect.Request[apipb.WatchRequest], stream *connect.ServerStream[apipb.WatchResponse]) error {
	items := make([]*feed.Item, 30_000)
	for i := range items {
		items[i] = &feed.Item{Service: &catalog.Service{ServiceKey: catalog.ServiceKey{Name: strings.Repeat("x", 256)}}}
	}
	out := sender{stream: stream, response: responseOf(ctx)}
	err := out.state(items, 1)
	w.ended <- time.Now()
	return err
}

// idleWatch is a catalog whose watches send two responses, with a long time between them.
type idleWatch struct {
	apipbconnect.UnimplementedCatalogHandler
}

func (idleWatch) Watch(ctx context.Context, _ *connect.Request[apipb.WatchRequest], stream *connect.ServerStream[apipb.WatchResponse]) error {
	out := sender{stream: stream, response: responseOf(ctx)}
	if err := out.send(&apipb.WatchResponse{Index: 1}); err != nil {
		return err
	}
	time.Sleep(3 * sendTimeout) // of the bubble's clock
	return out.send(&apipb.WatchResponse{Index: 2})
}

package api

import (
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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

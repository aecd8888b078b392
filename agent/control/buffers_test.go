package control_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
)

// endlessPart is how much one Read of endless returns: the client reads the next part
// before it waits.
const endlessPart = 4 << 10

// endless is a body that counts what is read of it.
type endless struct{ read atomic.Int64 }

func (e *endless) Read(b []byte) (int, error) {
	n := min(len(b), endlessPart)
	e.read.Add(int64(n))
	return n, nil
}

// callers returns an HTTP client of a gateway with one connection to another.
func callers(t *testing.T, from, to *gateway) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	transport := &http.Transport{Protocols: protocols, DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		raw, err := from.host.Dial(ctx, to.address)
		if err != nil {
			return nil, err
		}
		conn := tls.Client(raw, clientConfig(issue(t, from.ca, federationID, time.Now()), "h2"))
		return conn, conn.HandshakeContext(ctx)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// What is received of a request that waits is in memory, on each of its connections.
func TestARequestThatWaitsIsBufferedUpToTheLargestOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west := f.member("east", eastIP), f.member("west", westIP)
		ctx, cancel := context.WithCancel(t.Context())
		send := func(client *http.Client, body io.Reader) {
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://gw0.east"+controlpbconnect.FederationApplyProcedure, body)
			require.NoError(t, err)
			request.Header.Set("Content-Type", "application/proto")
			go func() {
				if response, err := client.Do(request); err == nil {
					_ = response.Body.Close()
				}
			}()
			synctest.Wait()
		}
		first := callers(t, west, east)
		for range control.MaxBytes / control.MaxApply {
			reader, _ := io.Pipe()
			send(first, reader)
		}
		body := new(endless)
		send(callers(t, west, east), body)
		assert.NotZero(t, body.read.Load())
		assert.LessOrEqual(t, body.read.Load(), int64(control.MaxApply+endlessPart))
		cancel()
		synctest.Wait()
	})
}

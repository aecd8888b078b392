package control_test

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/control"
)

// isOpen reports whether the other end has not closed a connection. It loses what has
// arrived.
func isOpen(t testing.TB, conn net.Conn) bool {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Millisecond)))
	for {
		if _, err := conn.Read(make([]byte, 4096)); err != nil {
			return errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
}

// countOpen returns how many connections are open, and requires that those are the
// newest.
func countOpen(t testing.TB, conns []net.Conn) (open int) {
	t.Helper()
	for _, conn := range conns {
		if isOpen(t, conn) {
			open++
		} else {
			require.Zero(t, open, "a newer connection was closed before an older one")
		}
	}
	return open
}

func TestMemberHoldsNoMoreConnectionsThanItsDatacenterMayHave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west, north := f.member("east", eastIP), f.member("west", westIP), f.member("north", northIP)
		first, _ := raftStream(t, north, east)
		var streams, calls []net.Conn
		for range control.MaxStreams + 20 {
			near, _ := raftStream(t, west, east)
			streams = append(streams, near)
		}
		for range control.MaxCallers + 20 {
			raw, err := west.host.Dial(t.Context(), east.address)
			require.NoError(t, err)
			conn := tls.Client(raw, clientConfig(issue(t, west.ca, federationID, time.Now()), "h2"))
			require.NoError(t, conn.HandshakeContext(t.Context()))
			synctest.Wait() // until the other end has completed it too, so that they have an order
			calls = append(calls, conn)
		}
		synctest.Wait()
		assert.Equal(t, control.MaxStreams, countOpen(t, streams))
		assert.Equal(t, control.MaxCallers, countOpen(t, calls))
		assert.True(t, isOpen(t, first), "the stream of another datacenter")
		_, err := north.port.Client().ReadIndex(t.Context(), east.id, true)
		require.NoError(t, err)
		_, err = west.port.Client().ReadIndex(t.Context(), east.id, true)
		require.NoError(t, err, "a new connection replaces the oldest")
	})
}

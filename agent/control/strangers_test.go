package control_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hold opens n connections from each of the sources and keeps them. With a
// certificate it completes the handshake.
func hold(t testing.TB, f *federation, to *gateway, sources, n int, certificate *tls.Certificate) {
	t.Helper()
	for i := range sources {
		stranger := f.fabric.Host(fmt.Sprint("stranger-", i), fmt.Sprintf("198.%d.%d.%d", 18+i>>16, i>>8&255, i&255))
		for range n {
			raw, err := stranger.Dial(t.Context(), to.address)
			require.NoError(t, err)
			if certificate != nil {
				conn := tls.Client(raw, clientConfig(certificate, "h2"))
				require.NoError(t, conn.HandshakeContext(t.Context()))
			}
		}
	}
}

// The case names are what the strangers do; a member connects from its advertised
// address, from an unknown one and over the tunnel meanwhile.
func TestMembersAreAnsweredWhileStrangersHoldConnections(t *testing.T) {
	for name, c := range map[string]struct {
		sources, each int
		handshake     bool
	}{
		"one source":                             {1, 200, false},
		"10,000 sources are silent":              {10_000, 1, false}, // twenty times as many as have a connection
		"600 sources are silent after handshake": {600, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFederation(t)
				east, west := f.member("east", eastIP), f.member("west", westIP)
				overlay := netip.MustParseAddr("fd00::1")
				east.host.SetOverlay(overlay)
				west.host.SetOverlay(netip.MustParseAddr("fd00::9"))
				east.port.SetOverlay(overlay)
				synctest.Wait()
				var certificate *tls.Certificate
				if c.handshake {
					certificate = issue(t, newCA(t, "stranger"), federationID, time.Now())
				}
				hold(t, f, east, c.sources, c.each, certificate)
				start := time.Now()
				for range 20 {
					near, _ := raftStream(t, west, east)
					_ = near.Close()
					near, err := west.port.Raft().Dial(t.Context(), east.id, net.JoinHostPort(overlay.String(), "7443"))
					require.NoError(t, err)
					_ = accepted(t, east).Close() // the other end may be gone
					_ = near.Close()
				}
				assert.Less(t, time.Since(start), time.Second)
			})
		})
	}
}

func TestSilentConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west := f.member("east", eastIP), f.gateway("west", westIP)
		raw, err := west.host.Dial(t.Context(), east.address)
		require.NoError(t, err)
		start := time.Now()
		_, err = raw.Read(make([]byte, 1))
		require.Error(t, err)
		assert.LessOrEqual(t, time.Since(start), 3*time.Second)

		raw, err = west.host.Dial(t.Context(), east.address)
		require.NoError(t, err)
		conn := tls.Client(raw, clientConfig(issue(t, west.ca, federationID, time.Now()), "h2"))
		require.NoError(t, conn.HandshakeContext(t.Context()))
		start = time.Now()
		_, _ = io.ReadAll(conn) // the settings frame, then the end
		assert.LessOrEqual(t, time.Since(start), time.Minute, "the connection of a non-member is closed")
	})
}

package control_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	eastIP, westIP, northIP = "203.0.113.1", "203.0.113.2", "203.0.113.3"
	raftProtocol            = "meshway-raft/1"
)

// accepted waits for a raft stream at g and fails the test after a minute.
func accepted(t testing.TB, g *gateway) net.Conn {
	t.Helper()
	conns := make(chan net.Conn, 1)
	go func() {
		conn, _, err := g.port.Raft().Accept()
		if err == nil {
			conns <- conn
		}
	}()
	select {
	case conn := <-conns:
		return conn
	case <-time.After(time.Minute):
		t.Fatal("no raft stream arrived")
		return nil
	}
}

// raftStream opens a raft stream between two gateways.
func raftStream(t testing.TB, from, to *gateway) (near, far net.Conn) {
	t.Helper()
	near, err := from.port.Raft().Dial(t.Context(), to.id, to.address)
	require.NoError(t, err)
	return near, accepted(t, to)
}

func TestRaftStreamsCarryBytesBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west := f.member("east", eastIP), f.member("west", westIP)
		for _, ends := range [][2]*gateway{{east, west}, {west, east}} {
			near, far := raftStream(t, ends[0], ends[1])
			_, err := near.Write([]byte("ping"))
			require.NoError(t, err)
			buffer := make([]byte, 4)
			_, err = io.ReadFull(far, buffer)
			require.NoError(t, err)
			require.Equal(t, "ping", string(buffer))
			_, err = far.Write([]byte("pong"))
			require.NoError(t, err)
			_, err = io.ReadFull(near, buffer)
			require.NoError(t, err)
			require.Equal(t, "pong", string(buffer))
		}
	})
}

func TestRaftStreamComesWithTheGatewayThatOpenedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west := f.member("east", eastIP), f.member("west", westIP)
		near, err := west.port.Raft().Dial(t.Context(), east.id, east.address)
		require.NoError(t, err)
		defer near.Close()
		_, from, err := east.port.Raft().Accept()
		require.NoError(t, err)
		assert.Equal(t, west.id, from)
	})
}

func TestOnlyTLS13WithHybridKeyExchangeIsAccepted(t *testing.T) {
	tests := map[string]func(*tls.Config){
		"TLS 1.2": func(c *tls.Config) {
			c.MinVersion, c.MaxVersion, c.CurvePreferences = tls.VersionTLS12, tls.VersionTLS12, nil
		},
		"X25519 alone":          func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} },
		"P-256 alone":           func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP256} },
		"another hybrid":        func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.SecP384r1MLKEM1024} },
		"no protocol":           func(c *tls.Config) { c.NextProtos = nil },
		"HTTP/1.1":              func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} },
		"no client certificate": func(c *tls.Config) { c.GetClientCertificate = nil },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFederation(t)
				east, west := f.member("east", eastIP), f.member("west", westIP)
				good := clientConfig(issue(t, west.ca, federationID, time.Now()), "h2")
				require.NoError(t, hello(t, west, east, good), "the same without the change")
				bad := good.Clone()
				change(bad)
				require.Error(t, hello(t, west, east, bad))
			})
		})
	}
}

// hello dials with any TLS configuration and returns an error if the other side
// refuses it. In TLS 1.3 a refusal arrives only after the client's handshake.
func hello(t testing.TB, from, to *gateway, cfg *tls.Config) error {
	t.Helper()
	raw, err := from.host.Dial(t.Context(), to.address)
	require.NoError(t, err)
	defer raw.Close()
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(t.Context()); err != nil {
		return err
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	_, err = conn.Read(make([]byte, 1))
	if isTimeout(err) {
		return nil // the other side waits for a request
	}
	return err
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error) //nolint:errorlint // as net.Conn gives it
	return ok && timeout.Timeout()
}

func TestPlainTextGetsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west := f.member("east", eastIP), f.member("west", westIP)
		for _, text := range []string{"GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x00\x01\x02\x03\x04\x05\x06"} {
			raw, err := west.host.Dial(t.Context(), east.address)
			require.NoError(t, err)
			_, err = raw.Write([]byte(text))
			require.NoError(t, err)
			answer, _ := io.ReadAll(raw) // an error is fine
			assert.NotContains(t, string(answer), "HTTP/2")
			assert.NotContains(t, string(answer), "200")
			assert.Less(t, len(answer), 200)
		}
	})
}

func TestRaftIsForMembersOnly(t *testing.T) {
	for name, certificate := range nonMembers() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFederation(t)
				east, west := f.member("east", eastIP), f.member("west", westIP)
				require.NoError(t, hello(t, west, east, clientConfig(issue(t, west.ca, federationID, time.Now()), raftProtocol)))
				_ = accepted(t, east).Close() // the other end may be gone
				require.Error(t, hello(t, west, east, clientConfig(certificate(t, west), raftProtocol)))
			})
		})
	}
}

func newCA(t testing.TB, dc catalog.DatacenterName) *identity.CA {
	t.Helper()
	ca, err := identity.NewCA(dc, time.Now())
	require.NoError(t, err)
	return ca
}

func TestOnlyTheGatewayItselfAnswersForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west := f.member("east", eastIP), f.member("west", westIP)
		address, ok := west.port.Answers(t.Context(), "east/gw1", []string{west.address, east.address})
		require.True(t, ok)
		require.Equal(t, east.address, address)
		_, ok = west.port.Answers(t.Context(), "east/gw2", []string{west.address, east.address})
		require.False(t, ok)
		_, ok = west.port.Answers(t.Context(), "east/gw1", nil)
		require.False(t, ok)
	})
}

func TestProcessThatRunsAGatewayIsIdentifiedAtEachAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west := f.member("east", eastIP), f.member("west", westIP)
		answer, err := west.port.Identify(t.Context(), "east/gw1", east.address, []byte("challenge"))
		require.NoError(t, err)
		require.Equal(t, []byte("challenge"), answer.GetSignature())
		_, err = west.port.Identify(t.Context(), "east/gw1", west.address, []byte("challenge"))
		require.ErrorIs(t, err, control.ErrWrongPeer)
	})
}

func TestGatewaySearchesForCopiesOfItsCallerOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west := f.member("east", eastIP), f.member("west", westIP)
		found, err := west.port.Client().FindCopies(t.Context(), east.id, &controlpb.FindCopiesRequest{Process: []byte("own")})
		require.NoError(t, err)
		require.Equal(t, []byte("own"), found.GetCopies()[0].GetIdentity().GetProcess())
		require.Equal(t, []catalog.GatewayID{west.id}, east.service.from)
	})
}

func TestDialVerifiesTheGatewayThatItDialled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west := f.member("east", eastIP), f.member("west", westIP)
		f.member("north", northIP)
		_, err := west.port.Raft().Dial(t.Context(), "north/gw1", east.address)
		require.ErrorIs(t, err, control.ErrWrongPeer)
		require.ErrorContains(t, err, "east/gw1")
		_, err = west.port.Raft().Dial(t.Context(), "east/gw2", east.address)
		require.ErrorIs(t, err, control.ErrWrongPeer)
	})
}

func TestDialRefusesAServerThatIsNotAMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		west := f.member("west", westIP)
		east := f.member("east", eastIP)
		_, near := raftStream(t, west, east)
		_ = near.Close()
		f.admit("east", newCA(t, "east").Certificate())
		_, err := west.port.Raft().Dial(t.Context(), "east/gw1", east.address)
		require.ErrorContains(t, err, "unknown authority")
		f.remove("east")
		_, err = west.port.Raft().Dial(t.Context(), "east/gw1", east.address)
		require.ErrorIs(t, err, identity.ErrNotMember)
	})
}

func TestRemovalClosesOpenConnectionsAtOnce(t *testing.T) {
	tests := map[string]func(f *federation){
		"the datacenter is removed": func(f *federation) { f.remove("west") },
		"the gateway is removed":    func(f *federation) { f.removeGateway("west/gw1") },
		"its CA is replaced":        func(f *federation) { f.admit("west", newCA(f.t, "west").Certificate()) },
		"another one is removed":    nil,
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFederation(t)
				east, west := f.member("east", eastIP), f.member("west", westIP)
				f.member("north", northIP)
				_, fromWest := raftStream(t, west, east)
				toWest, _ := raftStream(t, east, west)
				_, err := west.port.Client().ReadIndex(t.Context(), "east/gw1", false)
				require.NoError(t, err)

				if change == nil {
					f.remove("north")
				} else {
					change(f)
				}
				synctest.Wait()
				for _, conn := range []net.Conn{fromWest, toWest} {
					require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Millisecond)))
					_, err := conn.Read(make([]byte, 1))
					require.Equal(t, change == nil, isTimeout(err), "%v", err)
				}
				_, err = west.port.Client().ReadIndex(t.Context(), "east/gw1", false)
				require.Equal(t, change == nil, err == nil, "%v", err)
			})
		})
	}
}

func TestConnectionsStayOpenWhenCertificatesAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west := f.member("east", eastIP), f.member("west", westIP)
		old, far := raftStream(t, west, east)
		first := leafOf(t, far.(*tls.Conn).ConnectionState()).SerialNumber
		time.Sleep(72 * time.Hour)
		_, err := west.port.Client().ReadIndex(t.Context(), "east/gw1", false)
		require.NoError(t, err)
		fresh, far := raftStream(t, west, east)
		assert.NotEqual(t, first, leafOf(t, far.(*tls.Conn).ConnectionState()).SerialNumber)
		for _, conn := range []net.Conn{old, fresh} {
			_, err := conn.Write([]byte("x"))
			require.NoError(t, err)
		}
	})
}

func TestPortListensOnTheOverlayAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west := f.member("east", eastIP), f.member("west", westIP)
		for i, address := range []string{"fd00::1", "fd00::2"} {
			overlay := netip.MustParseAddr(address)
			east.host.SetOverlay(overlay)
			west.host.SetOverlay(netip.MustParseAddr("fd00::9"))
			east.port.SetOverlay(overlay)
			synctest.Wait()
			_, err := east.host.Listen(t.Context(), netip.AddrPortFrom(overlay, 7443), control.Overlay)
			require.ErrorContains(t, err, "in use", "round %d", i)
			near, err := west.port.Raft().Dial(t.Context(), east.id, net.JoinHostPort(address, "7443"))
			require.NoError(t, err)
			_ = accepted(t, east).Close() // the other end may be gone
			_ = near.Close()
		}
		east.port.SetOverlay(netip.Addr{})
		synctest.Wait()
		l, err := east.host.Listen(t.Context(), netip.MustParseAddrPort("[fd00::2]:7443"), control.Overlay)
		require.NoError(t, err)
		require.NoError(t, l.Close())
	})
}

func TestPortInUseNamesTheConfigurationKey(t *testing.T) {
	f := newFederation(t)
	east := f.gateway("east", eastIP)
	_, err := east.host.Listen(t.Context(), netip.MustParseAddrPort("[::]:7443"), control.Underlay)
	require.NoError(t, err)
	require.ErrorContains(t, east.port.Listen(t.Context()), "control.listen")
	require.ErrorContains(t, east.port.Run(t.Context()), "control.listen")
}

func TestEndOfRunClosesStreamsAndFreesThePort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t)
		east, west := f.member("east", eastIP), f.gateway("west", westIP)
		f.admit("west", west.ca.Certificate())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- west.port.Run(ctx) }()
		synctest.Wait()
		near, _ := raftStream(t, east, west)
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, near.SetReadDeadline(time.Now().Add(time.Millisecond)))
		_, err := near.Read(make([]byte, 1))
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
		_, _, err = west.port.Raft().Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		l, err := west.host.Listen(t.Context(), netip.MustParseAddrPort("[::]:7443"), control.Underlay)
		require.NoError(t, err)
		require.NoError(t, l.Close())
	})
}

func TestRunReturnsNilWhenItsContextHasEnded(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			east := newFederation(t).gateway("east", eastIP)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			require.NoError(t, east.port.Run(ctx))
		})
	}
}

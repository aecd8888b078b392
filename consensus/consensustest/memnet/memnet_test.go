package memnet_test

import (
	"context"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/meshway/meshway/consensus/consensustest/memnet"
)

// pipe connects host a with host b.
func pipe(links *memnet.Links[string]) (a, b *memnet.Conn) {
	for _, host := range []string{"a", "b", "c"} {
		links.Add(host)
	}
	return memnet.Pipe(links.Link("a", "b"), links.Link("b", "a"), &net.UnixAddr{Name: "a"}, &net.UnixAddr{Name: "b"})
}

func TestConnectionIsAConformingNetConn(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		a, b := pipe(memnet.NewLinks[string]())
		return a, b, func() { _, _ = a.Close(), b.Close() }, nil
	})
}

func TestDataArrivesAfterTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		links := memnet.NewLinks[string]()
		a, b := pipe(links)
		links.Delay(40 * time.Millisecond)
		began := time.Now()
		_, err := a.Write([]byte("xy"))
		require.NoError(t, err)
		assert.Zero(t, time.Since(began), "the writer does not wait")
		_, err = io.ReadFull(b, make([]byte, 2))
		require.NoError(t, err)
		assert.Equal(t, 40*time.Millisecond, time.Since(began))
		require.NoError(t, memnet.Travel(t.Context(), links.Link("b", "a")))
		assert.Equal(t, 80*time.Millisecond, time.Since(began))
		assert.Equal(t, 1, links.Sent("a", "b"))
		assert.Zero(t, links.Sent("b", "a"))
	})
}

func TestACutStopsOneDirection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		links := memnet.NewLinks[string]()
		a, b := pipe(links)
		links.Cut("a", "b")
		for _, end := range []net.Conn{a, b} {
			_, err := end.Write([]byte("x"))
			require.NoError(t, err)
			require.NoError(t, end.SetReadDeadline(time.Now().Add(time.Second)))
		}
		_, err := a.Read(make([]byte, 1))
		require.NoError(t, err)
		_, err = b.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, b.SetReadDeadline(time.Time{}))
		time.AfterFunc(time.Minute, func() { links.Restore("a", "b") })
		_, err = b.Read(make([]byte, 1))
		require.NoError(t, err, "what was sent arrives when the link is whole again")
	})
}

func TestLinksAreCutByHostAndByGroup(t *testing.T) {
	links := memnet.NewLinks[string]()
	pipe(links)
	whole := func(from, to string) bool {
		whole, _, _ := links.Link(from, to).State()
		return whole
	}
	links.Isolate("a")
	assert.False(t, whole("a", "b"))
	assert.False(t, whole("c", "a"))
	assert.True(t, whole("b", "c"))
	links.Rejoin("a")
	assert.True(t, whole("a", "b"))
	links.Partition([]string{"a", "b"}, []string{"c"})
	assert.True(t, whole("b", "a"))
	assert.False(t, whole("c", "b"))
	links.Heal()
	assert.True(t, whole("c", "b"))
}

func TestTravelEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		links := memnet.NewLinks[string]()
		links.Cut("a", "b")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, memnet.Travel(ctx, links.Link("a", "b")), context.DeadlineExceeded)
	})
}

func TestAResetEndsBothDirectionsOnceTheLinkIsWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		links := memnet.NewLinks[string]()
		a, b := pipe(links)
		links.Cut("a", "b")
		a.Reset()
		require.NoError(t, b.SetDeadline(time.Now().Add(time.Second)))
		_, err := b.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "the reset is on its way")
		require.NoError(t, b.SetDeadline(time.Time{}))
		links.Heal()
		_, err = b.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		_, err = b.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
}

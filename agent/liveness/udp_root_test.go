//go:build linux && root

package liveness_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/tunnel"
)

// wire is two namespaces joined by a veth pair, both ends of which are named mesh0.
type wire struct{ hosts [2]*namespace }

// namespace is a thread in its own network namespace.
type namespace struct {
	do   chan func()
	done chan struct{}
	file *os.File
}

func newNamespace(t testing.TB) *namespace {
	h := &namespace{do: make(chan func()), done: make(chan struct{})}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its namespace
		defer close(h.done)
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			h.file, err = os.Open("/proc/thread-self/ns/net")
		}
		ready <- err
		for f := range h.do {
			f()
		}
	}()
	require.NoError(t, <-ready, "these tests need root")
	t.Cleanup(func() {
		close(h.do)
		<-h.done
		_ = h.file.Close()
	})
	return h
}

func (h *namespace) Do(t testing.TB, f func() error) {
	t.Helper()
	done := make(chan error)
	h.do <- func() { done <- f() }
	require.NoError(t, <-done)
}

func newWire(t testing.TB) *wire {
	w := &wire{[2]*namespace{newNamespace(t), newNamespace(t)}}
	w.join(t)
	return w
}

func (w *wire) join(t testing.TB) {
	w.hosts[0].Do(t, func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "mesh0"}, PeerName: "mesh0", PeerNamespace: netlink.NsFd(int(w.hosts[1].file.Fd()))})
	})
	for i, h := range w.hosts {
		h.Do(t, func() error {
			link, err := netlink.LinkByName("mesh0")
			if err != nil {
				return err
			}
			for _, cidr := range []string{fmt.Sprintf("fd00::%d/64", i+1), fmt.Sprintf("10.0.0.%d/24", i+1)} {
				addr, err := netlink.ParseAddr(cidr)
				if err != nil {
					return err
				}
				if addr.IP.To4() == nil {
					addr.Flags = unix.IFA_F_NODAD
				}
				if err := netlink.AddrAdd(link, addr); err != nil {
					return err
				}
			}
			return netlink.LinkSetUp(link)
		})
	}
}

// inNamespace is a liveness.Network whose sockets are in a namespace.
type inNamespace struct {
	t    testing.TB
	host *namespace
}

func (n inNamespace) Listen(ctx context.Context, local netip.AddrPort, device string) (c liveness.PacketConn, err error) {
	done := make(chan struct{})
	n.host.do <- func() { c, err = liveness.UDP{}.Listen(ctx, local, device); close(done) }
	<-done
	return c, err
}

func (n inNamespace) ListenEcho(ctx context.Context, local netip.Addr, device string) (c liveness.PacketConn, err error) {
	done := make(chan struct{})
	n.host.do <- func() { c, err = liveness.UDP{}.ListenEcho(ctx, local, device); close(done) }
	<-done
	return c, err
}

func (w *wire) start(t *testing.T, i int, addrs [2]netip.Addr) *agent {
	m := liveness.New(liveness.Config{Network: inNamespace{t, w.hosts[i]}})
	m.Set([]plan.SessionConfig{{Gateway: "peer/x", Device: "mesh0", Local: addrs[i], Remote: addrs[1-i], Key: tunnel.PublicKey{1}}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = m.Run(ctx) }()
	a := &agent{Monitor: m}
	a.stop = func() { cancel(); <-done }
	t.Cleanup(a.stop)
	return a
}

func families() map[string][2]netip.Addr {
	return map[string][2]netip.Addr{
		"IPv6": {netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")},
		"IPv4": {netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")},
	}
}

func TestSessionsOverRealSockets(t *testing.T) {
	for name, addrs := range families() {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			a, b := w.start(t, 0, addrs), w.start(t, 1, addrs)
			watch(t, a, true, 5*time.Second)
			watch(t, b, true, 5*time.Second)
			require.Eventually(t, func() bool { return a.session(t).RTT > 0 }, 5*time.Second, 10*time.Millisecond)
			require.Less(t, a.session(t).RTT, 100*time.Millisecond)

			b.stop() // the agent stops; its kernel answers echoes
			since := a.session(t).Since
			require.Never(t, func() bool { return !a.session(t).Up || a.session(t).Since != since }, 2*time.Second, 10*time.Millisecond)

			w.setLink(t, 1, false) // the host is unreachable
			require.LessOrEqual(t, watch(t, a, false, 5*time.Second), time.Second)
		})
	}
}

func TestARecreatedInterfaceGetsItsSessionBack(t *testing.T) {
	addrs := families()["IPv6"]
	w := newWire(t)
	a := w.start(t, 0, addrs)
	w.start(t, 1, addrs)
	watch(t, a, true, 5*time.Second)
	w.hosts[0].Do(t, func() error {
		link, err := netlink.LinkByName("mesh0")
		if err != nil {
			return err
		}
		return netlink.LinkDel(link)
	})
	watch(t, a, false, 5*time.Second)
	w.join(t)
	watch(t, a, true, 10*time.Second)
}

func TestPacketsWithALowerHopLimitAreDropped(t *testing.T) {
	for name, addrs := range families() {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			c, err := inNamespace{t, w.hosts[1]}.Listen(t.Context(), netip.AddrPortFrom(addrs[1], 3784), "mesh0")
			require.NoError(t, err)
			defer c.Close()
			var forged *net.UDPConn
			w.hosts[0].Do(t, func() error {
				forged, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addrs[1], 3784)))
				return err
			})
			defer forged.Close()
			_, err = forged.Write([]byte("hop limit 64"))
			require.NoError(t, err)
			valid, err := inNamespace{t, w.hosts[0]}.Listen(t.Context(), netip.AddrPortFrom(addrs[0], 3784), "mesh0")
			require.NoError(t, err)
			defer valid.Close()
			require.NoError(t, valid.WriteTo([]byte("hop limit 255"), netip.AddrPortFrom(addrs[1], 3784)))
			buf := make([]byte, 100)
			n, from, err := c.ReadFrom(buf)
			require.NoError(t, err)
			require.Equal(t, "hop limit 255", string(buf[:n]), "the first packet was dropped")
			require.Equal(t, addrs[0], from.Addr().Unmap())
		})
	}
}

func TestListenWorksBeforeTheAddressIsUp(t *testing.T) {
	w := newWire(t)
	c, err := inNamespace{t, w.hosts[0]}.Listen(t.Context(), netip.MustParseAddrPort("[fd00::99]:3784"), "mesh0")
	require.NoError(t, err)
	require.NoError(t, c.Close())
	_, err = inNamespace{t, w.hosts[0]}.Listen(t.Context(), netip.MustParseAddrPort("[fd00::99]:3784"), "mesh9")
	require.ErrorContains(t, err, "no interface mesh9")
}

func (w *wire) setLink(t *testing.T, i int, up bool) {
	w.hosts[i].Do(t, func() error {
		link, err := netlink.LinkByName("mesh0")
		if err != nil {
			return err
		}
		if up {
			return netlink.LinkSetUp(link)
		}
		return netlink.LinkSetDown(link)
	})
}

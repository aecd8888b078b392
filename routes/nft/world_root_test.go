//go:build linux && root

package nft_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/routes/nft"
)

// world is a gateway between a pod of this datacenter and a pod of another one,
// each in its own network namespace without an uplink:
//
//	left 10.1.0.2 ── l0 10.1.0.1 │ gateway │ 10.2.0.1 mesh0 ── right 10.2.0.2
//	     fd00:1::2      fd00:1::1 │         │ fd00:2::1            fd00:2::2
//
// The test's thread is in the namespace of the gateway.
type world struct {
	*nft.Filter
	t           testing.TB
	left, right int // namespaces
}

func newWorld(t testing.TB) *world {
	t.Helper()
	require.Zero(t, unix.Geteuid(), "this test needs root: it creates network namespaces")
	w := &world{Filter: nft.New(), t: t, left: namespace(t), right: namespace(t)}
	runtime.LockOSThread() // never unlocked: thread and namespace end with the test
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNET))
	w.run("ip link set lo up")
	w.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0")
	w.join(w.left, "l0", 1)
	w.join(w.right, "mesh0", 2)
	return w
}

// join adds a link between the gateway's device and eth0 of a namespace. Its
// neighbour entries are static, because the first solicitation on a new link may
// be lost.
func (w *world) join(ns int, device string, net int) {
	ours, theirs := fmt.Sprintf("02:00:00:00:0%d:01", net), fmt.Sprintf("02:00:00:00:0%d:02", net)
	w.run("ip link add %s address %s type veth peer name eth0 address %s netns /proc/%d/fd/%d",
		device, ours, theirs, os.Getpid(), ns)
	w.configureEnd(device, net, 1)
	w.run("ip neigh replace fd00:%d::2 lladdr %s dev %s nud permanent", net, theirs, device)
	w.in(ns, func() {
		w.run("ip link set lo up")
		w.configureEnd("eth0", net, 2)
		w.run("ip neigh replace fd00:%d::1 lladdr %s dev eth0 nud permanent", net, ours)
		w.run("ip route add default via 10.%d.0.1", net)
		w.run("ip -6 route add default via fd00:%d::1", net)
	})
}

// configureEnd configures one end of a link.
func (w *world) configureEnd(device string, net, host int) {
	w.run("ip addr add 10.%d.0.%d/24 dev %s", net, host, device)
	w.run("ip addr add fd00:%d::%d/64 dev %s nodad", net, host, device)
	w.run("ip link set %s up", device)
}

// namespace returns a new network namespace, which ends with the test.
func namespace(t testing.TB) int {
	t.Helper()
	type result struct {
		ns  int
		err error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- result{err: err}
			return
		}
		ns, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		made <- result{ns: ns, err: err}
	}()
	r := <-made
	require.NoError(t, r.err)
	t.Cleanup(func() { _ = unix.Close(r.ns) })
	return r.ns
}

// in calls act in a namespace; 0 is that of the gateway.
func (w *world) in(ns int, act func()) {
	w.t.Helper()
	if ns == 0 {
		act()
		return
	}
	entered := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Setns(ns, unix.CLONE_NEWNET)
		if err == nil {
			act()
		}
		entered <- err
	}()
	require.NoError(w.t, <-entered)
}

func (w *world) run(format string, args ...any) string {
	words := strings.Fields(fmt.Sprintf(format, args...))
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		panic(fmt.Sprintf("%s: %v: %s", strings.Join(words, " "), err, out)) // not always on the test's goroutine
	}
	return string(out)
}

func (w *world) Break() { w.run("nft flush chain inet meshway antispoof") }

// Written returns the table with its handles. Each write gives the rules new ones.
func (w *world) Written() string { return w.run("nft --stateless -a list table inet meshway") }

// datagram sends a datagram from one namespace and address to another, and returns
// the source address with which it arrives; zero if it does not arrive.
func (w *world) datagram(fromNS int, from string, toNS int, to string) netip.AddrPort {
	w.t.Helper()
	return w.datagramTo(to, fromNS, from, toNS, to)
}

// datagramTo is datagram for a destination that the gateway translates.
func (w *world) datagramTo(dialled string, fromNS int, from string, toNS int, to string) netip.AddrPort {
	w.t.Helper()
	var receiver, sender *net.UDPConn
	var err error
	target := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to))
	w.in(toNS, func() { receiver, err = net.ListenUDP("udp", target) })
	require.NoError(w.t, err)
	defer receiver.Close()
	w.in(fromNS, func() {
		sender, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from)), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(dialled)))
	})
	require.NoError(w.t, err)
	defer sender.Close()
	_, err = sender.Write([]byte("hello"))
	if errors.Is(err, unix.EPERM) {
		return netip.AddrPort{} // the sender's own firewall dropped it
	}
	require.NoError(w.t, err)
	require.NoError(w.t, receiver.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	_, source, err := receiver.ReadFromUDPAddrPort(make([]byte, 16))
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(source.Addr().Unmap(), source.Port())
}

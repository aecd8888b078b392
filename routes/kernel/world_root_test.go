//go:build linux && root

package kernel_test

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/kernel"
	"github.com/meshway/meshway/routes/routestest"
)

// world is the kernel in a network namespace of the test's own, without uplink.
type world struct {
	*kernel.Kernel
	t  testing.TB
	ns int
}

var _ routestest.World = (*world)(nil)

// newWorld moves the test's thread into a new namespace, for good: the thread
// ends with the test, and the namespace with it.
func newWorld(t testing.TB) *world {
	t.Helper()
	require.Zero(t, unix.Geteuid(), "this test needs root: it makes network namespaces")
	runtime.LockOSThread()
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNET))
	ns, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Close(ns) })
	store := kernel.FileStore(filepath.Join(t.TempDir(), "sysctls.json"))
	w := &world{Kernel: kernel.New(kernel.Options{Sysctls: store, DevicePrefix: "mesh"}), t: t, ns: ns}
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	// No link-local addresses, whose appearance would wake who watches.
	w.run("sysctl", "-qw", "net.ipv6.conf.default.addr_gen_mode=1")
	w.ip("link set lo up")
	for _, device := range []string{"mesh0", "mesh1"} {
		w.ip("link add %s type veth peer name p%s", device, device)
		w.ip("link set p%s up", device)
		w.ip("link set %s up", device)
	}
	w.ip("addr add 10.1.0.1/32 dev mesh0")
	w.awaitLinks()
	w.addIPv6("fd00:1::1/128", "mesh1")
	return w
}

// addIPv6 waits until the kernel has told of the address, which it does a
// while after it has taken it.
func (w *world) addIPv6(address, device string) {
	w.t.Helper()
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_IPV6_IFADDR)
	require.NoError(w.t, err)
	defer socket.Close()
	require.NoError(w.t, socket.SetReceiveTimeout(&unix.Timeval{Sec: 5}))
	w.ip("addr add %s dev %s nodad", address, device)
	_, _, err = socket.Receive()
	require.NoError(w.t, err)
}

// awaitLinks waits until the kernel has told of all links that they are up,
// which is a while after they are. It stays on this thread, as
// require.Eventually would not.
func (w *world) awaitLinks() {
	w.t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for range 1000 {
		if strings.Count(w.ip("-brief link show up"), " UP ") == 4 {
			return
		}
		<-again.C
	}
	w.t.Fatal("links did not come up: " + w.ip("-brief link"))
}

// Watch may be called from any goroutine, hence has to enter the namespace.
func (w *world) Watch(ctx context.Context, wake func()) error {
	runtime.LockOSThread() // never unlocked: the thread must not be used again
	if err := unix.Setns(w.ns, unix.CLONE_NEWNET); err != nil {
		return err
	}
	return w.Kernel.Watch(ctx, wake)
}

// AddLink gives the device an address of the prefix, its last.
func (w *world) AddLink(device string, prefix netip.Prefix) {
	if !prefix.Addr().Is4() {
		w.addIPv6(fmt.Sprintf("%sffff/%d", prefix.Addr(), prefix.Bits()), device)
		return
	}
	last := prefix.Addr().As4()
	last[3] = 254
	w.ip("addr add %s/%d dev %s", netip.AddrFrom4(last), prefix.Bits(), device)
}

func (w *world) DownDevice(name string) { w.ip("link set %s down", name) }

func (w *world) AddRoute(table int, prefix netip.Prefix, device string, protocol int) {
	w.ip("route add %s dev %s table %d proto %d", prefix, device, table, protocol)
}

func (w *world) DeleteRoute(table int, prefix netip.Prefix) {
	w.ip("-%d route del %s table %d", routes.FamilyOf(prefix.Addr()), prefix, table)
}

func (w *world) AddRule(leadsTo int, rule routes.Rule) {
	w.ip("-%d rule add %s lookup %d priority %d protocol %d", rule.Family, rule.Selector(), leadsTo, rule.Priority, routes.DefaultProtocol)
}

func (w *world) DeleteRule(table int, rule routes.Rule) {
	w.ip("-%d rule del priority %d table %d", rule.Family, rule.Priority, rule.Table(table))
}

func (w *world) AddNexthop(id uint32, protocol int) {
	w.ip("nexthop add id %d blackhole proto %d", id, protocol)
}

func (w *world) DeleteNexthop(id uint32) { w.ip("nexthop del id %d", id) }

func (w *world) SetSysctl(s routes.Sysctl) {
	w.run("sh", "-c", fmt.Sprintf("echo %s > /proc/sys/%s", s.Value, s.Key))
}

func (w *world) ip(format string, args ...any) string {
	w.t.Helper()
	return w.run("ip", strings.Fields(fmt.Sprintf(format, args...))...)
}

func (w *world) run(name string, args ...string) string {
	w.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(w.t, err, "%s %s: %s", name, strings.Join(args, " "), out)
	return string(out)
}

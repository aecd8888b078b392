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

	"github.com/meshway/meshway/agent/state"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/kernel"
	"github.com/meshway/meshway/routes/routestest"
)

// world is the kernel in the test's own network namespace, without an uplink.
type world struct {
	*kernel.Kernel
	t  testing.TB
	ns int
}

var _ routestest.World = (*world)(nil)

// newWorld moves the test's thread into a new namespace. The thread and the
// namespace end with the test.
func newWorld(t testing.TB) *world {
	t.Helper()
	require.Zero(t, unix.Geteuid(), "this test needs root: it creates network namespaces")
	runtime.LockOSThread()
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNET))
	ns, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Close(ns) })
	store := state.File[[]kernel.SavedSysctl]{Path: filepath.Join(t.TempDir(), "sysctls.json")}
	w := &world{Kernel: kernel.New(kernel.Options{Sysctls: store, DevicePrefix: "mesh"}), t: t, ns: ns}
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	// Without link-local addresses, which would make Watch wake when they appear.
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

// addIPv6 adds an address and waits for its notification, which the kernel sends
// some time after it has added the address.
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

// awaitLinks waits until all links are reported as up, which happens some time
// after they are. It runs on this thread, unlike require.Eventually.
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

// Watch may be called from any goroutine, so it has to enter the namespace.
func (w *world) Watch(ctx context.Context, wake func()) error {
	runtime.LockOSThread() // never unlocked: the thread must not be used again
	if err := unix.Setns(w.ns, unix.CLONE_NEWNET); err != nil {
		return err
	}
	return w.Kernel.Watch(ctx, wake)
}

// AddLink adds the last address of the prefix to the device.
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

func (w *world) AddRule(lookup int, rule routes.Rule) {
	w.ip("-%d rule add %s lookup %d priority %d protocol %d", rule.Family, rule.Selector(), lookup, rule.Priority, routes.DefaultProtocol)
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

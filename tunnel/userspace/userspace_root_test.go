//go:build linux && root

package userspace_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/meshway/meshway/tunnel"
	"github.com/meshway/meshway/tunnel/tunneltest"
	"github.com/meshway/meshway/tunnel/userspace"
)

func here(f func()) { f() }

func TestUserspaceMeetsTheContract(t *testing.T) {
	tunneltest.TestDevice(t, 25, func(t *testing.T) tunnel.Device {
		dev := newDevice(t)
		t.Cleanup(func() { removeAll(t, here, dev) })
		return dev
	})
}

func TestForeignInterfacesAreRefused(t *testing.T) {
	dev := newDevice(t)
	foreign := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "mesh3"}}
	require.NoError(t, netlink.LinkAdd(foreign))
	t.Cleanup(func() { require.NoError(t, netlink.LinkDel(foreign)) })
	// A foreign control socket without a process, on which wgctrl's own list fails.
	require.NoError(t, os.MkdirAll("/var/run/wireguard", 0o755))
	dead, err := net.Listen("unix", "/var/run/wireguard/wg0.sock")
	require.NoError(t, err)
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, dead.Close())
	t.Cleanup(func() { require.NoError(t, os.Remove("/var/run/wireguard/wg0.sock")) })

	have, err := dev.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, have)
	require.ErrorContains(t, dev.Create(t.Context(), "mesh3", 1420), "not created by Meshway")
	require.ErrorContains(t, dev.Remove(t.Context(), "mesh3"), "not created by Meshway")
	require.ErrorContains(t, dev.Configure(t.Context(), tunnel.Change{Name: "mesh3", Up: true}), "not created by Meshway")
	require.ErrorContains(t, dev.Create(t.Context(), "wg0", 1420), "interface name")
}

func TestAPortInUseNamesItsProcess(t *testing.T) {
	dev := newDevice(t)
	t.Cleanup(func() { removeAll(t, here, dev) })
	squatter, err := net.ListenUDP("udp6", &net.UDPAddr{Port: 51820})
	require.NoError(t, err)
	defer squatter.Close()
	want := []tunnel.Config{{Name: "mesh0", ListenPort: 51820, MTU: 1420}}
	have, err := tunnel.Apply(t.Context(), dev, tunneltest.Key(1), want, true)
	require.ErrorContains(t, err, "UDP port 51820")
	require.ErrorContains(t, err, fmt.Sprintf("in use by process %d (", os.Getpid()))
	require.False(t, have[0].Up)
	require.NoError(t, squatter.Close())
	_, err = tunnel.Apply(t.Context(), dev, tunneltest.Key(1), want, true)
	require.NoError(t, err)
}

// TestTheKernelNeverSendsFromALoopbackAddressOfALane also holds for packets
// without a source that are bound to the lane.
func TestTheKernelNeverSendsFromALoopbackAddressOfALane(t *testing.T) {
	dev := newDevice(t)
	t.Cleanup(func() { removeAll(t, here, dev) })
	loopback := netip.MustParsePrefix("127.77.87.1/32")
	_, err := tunnel.Apply(t.Context(), dev, tunneltest.Key(1), []tunnel.Config{{Name: "mesh0", MTU: 1420, Addresses: []netip.Prefix{loopback}}}, true)
	require.NoError(t, err)
	link, err := netlink.LinkByName("mesh0")
	require.NoError(t, err)
	destination := &net.IPNet{IP: net.IPv4(192, 0, 2, 0), Mask: net.CIDRMask(24, 32)}
	require.NoError(t, netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: destination}))
	for name, options := range map[string]*netlink.RouteGetOptions{"by route": nil, "by device": {Oif: "mesh0"}} {
		found, err := netlink.RouteGetWithOptions(net.IPv4(192, 0, 2, 1), options)
		require.NoError(t, err, name)
		require.Equal(t, link.Attrs().Index, found[0].LinkIndex, name)
		require.False(t, found[0].Src.IsLoopback(), name)
	}
}

func TestADeadDataPlaneProcessIsReplaced(t *testing.T) {
	dev := newDevice(t)
	t.Cleanup(func() { removeAll(t, here, dev) })
	want := []tunnel.Config{{Name: "mesh0", ListenPort: 51820, MTU: 1420}}
	have, err := tunnel.Apply(t.Context(), dev, tunneltest.Key(1), want, true)
	require.NoError(t, err)
	killOwner(t, "mesh0")
	require.FileExists(t, "/var/run/wireguard/mesh0.sock", "the stale socket still exists")
	again, err := tunnel.Apply(t.Context(), dev, tunneltest.Key(1), want, true)
	require.NoError(t, err)
	tunneltest.RequireApplied(t, tunneltest.Key(1), want, again)
	require.NotEqual(t, have[0].Index, again[0].Index)
}

func TestAnInterfaceThatIsMovedToAnotherNamespaceIsReplaced(t *testing.T) {
	dev, elsewhere := newDevice(t), newHost(t)
	t.Cleanup(func() { removeAll(t, here, dev) })
	want := []tunnel.Config{{Name: "mesh0", ListenPort: 51820, MTU: 1420}}
	_, err := tunnel.Apply(t.Context(), dev, tunneltest.Key(1), want, true)
	require.NoError(t, err)
	link, err := netlink.LinkByName("mesh0")
	require.NoError(t, err)
	require.NoError(t, netlink.LinkSetNsFd(link, int(elsewhere.net.Fd())))
	require.Eventually(t, func() bool {
		have, err := tunnel.Apply(t.Context(), dev, tunneltest.Key(1), want, true)
		return err == nil && len(have) == 1 && have[0].Index != link.Attrs().Index
	}, 5*time.Second, 20*time.Millisecond)
}

// TestARemovedControlSocketIsCreatedAgain empties the directory, as a program that cleans
// /run does. No agent runs meanwhile.
func TestARemovedControlSocketIsCreatedAgain(t *testing.T) {
	const socket = "/var/run/wireguard/mesh0.sock"
	dev := newDevice(t)
	t.Cleanup(func() { removeAll(t, here, dev) })
	want := []tunnel.Config{{Name: "mesh0", ListenPort: 51820, MTU: 1420}}
	have, err := tunnel.Apply(t.Context(), dev, tunneltest.Key(1), want, true)
	require.NoError(t, err)
	for _, path := range []string{socket, filepath.Dir(socket)} {
		require.NoError(t, os.RemoveAll(path))
		require.Eventually(t, func() bool {
			_, err := os.Stat(socket)
			return err == nil
		}, 10*time.Second, 20*time.Millisecond, path)
		again, err := tunnel.Apply(t.Context(), dev, tunneltest.Key(1), want, true)
		require.NoError(t, err)
		tunneltest.RequireApplied(t, tunneltest.Key(1), want, again)
		require.Equal(t, have[0].Index, again[0].Index, "the process goes on with its interface")
	}
	info, err := os.Stat(socket)
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o077)
	require.NoError(t, dev.Remove(t.Context(), "mesh0"))
	require.NoFileExists(t, socket)
}

func TestTheControlSocketIsForRootOnly(t *testing.T) {
	dev := newDevice(t)
	t.Cleanup(func() { removeAll(t, here, dev) })
	require.NoError(t, dev.Create(t.Context(), "mesh0", 1420))
	info, err := os.Stat("/var/run/wireguard/mesh0.sock")
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o077)
}

func TestRunNamesTheProcessThatServesTheInterface(t *testing.T) {
	dev := newDevice(t)
	t.Cleanup(func() { removeAll(t, here, dev) })
	require.NoError(t, dev.Create(t.Context(), "mesh0", 1420))
	err := userspace.Run(t.Context(), userspace.Options{Interface: "mesh0"})
	require.ErrorContains(t, err, "it exists (tuntap), served by process")
}

func TestAMissingTUNDeviceNamesTheRemedy(t *testing.T) {
	h := newHost(t)
	var err error
	h.Do(func() {
		if err = hideTUN(); err == nil {
			err = newDevice(t).Create(context.Background(), "mesh0", 1420)
		}
	})
	require.ErrorContains(t, err, "no TUN")
	require.ErrorContains(t, err, "modprobe tun")
}

func TestCreateReturnsTheLastLogLineOfAProcessThatExits(t *testing.T) {
	backend := userspace.New(userspace.Config{Executable: "/bin/sh", Args: []string{"-c", "echo the reason >&2; exit 3", "wireguard"}, LogDir: t.TempDir()})
	err := backend.Create(t.Context(), "mesh0", 1420)
	require.ErrorContains(t, err, "the reason")
}

//go:build linux && vm

package kernel_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/meshway/meshway/tunnel"
	"github.com/meshway/meshway/tunnel/kernel"
	"github.com/meshway/meshway/tunnel/tunneltest"
)

func TestKernelMeetsTheContract(t *testing.T) {
	tunneltest.TestDevice(t, 25, func(t *testing.T) tunnel.Device { return newCleanDevice(t) })
}

func TestSupportedLeavesNothingBehind(t *testing.T) {
	before := linkNames(t)
	require.NoError(t, kernel.Supported(t.Context()))
	require.Equal(t, before, linkNames(t))

	// The interface of a process that was killed in between.
	require.NoError(t, kernel.New().Create(t.Context(), "mesh-probe", 0))
	require.NoError(t, kernel.Supported(t.Context()))
	require.Equal(t, before, linkNames(t))
}

func TestInterfacesAreOfTypeWireguard(t *testing.T) {
	dev := newCleanDevice(t)
	have, err := tunnel.Apply(t.Context(), dev, tunneltest.Key(1), []tunnel.Config{{Name: "mesh0", ListenPort: 51820, MTU: 1420}}, true)
	require.NoError(t, err)
	require.Equal(t, kernel.New().Kind(), have[0].Dataplane)
	link, err := netlink.LinkByName("mesh0")
	require.NoError(t, err)
	require.Equal(t, "wireguard", link.Type())
}

func TestForeignInterfacesAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(*testing.T)
	}{
		{"of another kind", func(t *testing.T) {
			addLink(t, &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "mesh3"}, PeerName: "other"})
		}},
		{"a wireguard that is in use", func(t *testing.T) {
			link := &netlink.Wireguard{LinkAttrs: netlink.LinkAttrs{Name: "mesh3"}}
			addLink(t, link)
			require.NoError(t, netlink.LinkSetUp(link))
		}},
		{"a wireguard that has a key", func(t *testing.T) {
			addLink(t, &netlink.Wireguard{LinkAttrs: netlink.LinkAttrs{Name: "mesh3"}})
			setKey(t, "mesh3", tunneltest.Key(9))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.make(t)
			dev := newCleanDevice(t)
			have, err := dev.List(t.Context())
			require.NoError(t, err)
			require.Empty(t, have)
			require.ErrorContains(t, dev.Create(t.Context(), "mesh3", 1420), "not created by Meshway")
			require.ErrorContains(t, dev.Configure(t.Context(), tunnel.Change{Name: "mesh3", Up: true}), "not created by Meshway")
			require.ErrorContains(t, dev.Remove(t.Context(), "mesh3"), "not created by Meshway")
		})
	}
}

func TestAnInterfaceWithoutAliasAfterACrashIsAdopted(t *testing.T) {
	dev := newCleanDevice(t)
	require.NoError(t, kernel.New().Create(t.Context(), "mesh0", 1420))
	have, err := dev.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, have)
	want := []tunnel.Config{{Name: "mesh0", ListenPort: 51820, MTU: 1420}}
	have, err = tunnel.Apply(t.Context(), dev, tunneltest.Key(1), want, true)
	require.NoError(t, err)
	tunneltest.RequireApplied(t, tunneltest.Key(1), want, have)
}

func TestAPortOfAnotherInterfaceIsRefused(t *testing.T) {
	dev := newCleanDevice(t)
	want := []tunnel.Config{{Name: "mesh0", ListenPort: 51820, MTU: 1420}, {Name: "mesh1", Lane: 1, ListenPort: 51820, MTU: 1420}}
	have, err := tunnel.Apply(t.Context(), dev, tunneltest.Key(1), want, true)
	require.ErrorIs(t, err, unix.EADDRINUSE)
	require.ErrorContains(t, err, "listen on UDP port 51820: in use by")
	require.True(t, have[0].Up)
	require.False(t, have[1].Up)

	want[1].ListenPort = 51821
	have, err = tunnel.Apply(t.Context(), dev, tunneltest.Key(1), want, true)
	require.NoError(t, err)
	tunneltest.RequireApplied(t, tunneltest.Key(1), want, have)
}

func linkNames(t *testing.T) []string {
	t.Helper()
	links, err := netlink.LinkList()
	require.NoError(t, err)
	var names []string
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	return names
}

func setKey(t *testing.T, name string, key tunnel.PrivateKey) {
	t.Helper()
	client, err := wgctrl.New()
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.ConfigureDevice(name, wgtypes.Config{PrivateKey: new(wgtypes.Key(key.Bytes()))}))
}

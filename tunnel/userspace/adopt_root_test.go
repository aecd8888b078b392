//go:build linux && root

package userspace_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/meshway/meshway/tunnel"
	"github.com/meshway/meshway/tunnel/device"
	"github.com/meshway/meshway/tunnel/tunneltest"
)

func TestAnInterfaceWithoutAliasIsAdoptedOnlyWhileUnused(t *testing.T) {
	dev := newDevice(t)
	t.Cleanup(func() { removeAll(t, here, dev) })
	require.NoError(t, dev.Create(t.Context(), "mesh0", 1420))
	link, err := netlink.LinkByName("mesh0")
	require.NoError(t, err)
	require.Equal(t, device.Alias, link.Attrs().Alias)

	require.NoError(t, netlink.LinkSetAlias(link, "")) // as if the process was killed before it set the alias
	link, err = netlink.LinkByName("mesh0")
	require.NoError(t, err)
	require.Empty(t, link.Attrs().Alias)
	require.NoError(t, dev.Create(t.Context(), "mesh0", 1420))
	want := []tunnel.Config{{Name: "mesh0", ListenPort: 51820, MTU: 1420}}
	have, err := tunnel.Apply(t.Context(), dev, tunneltest.Key(1), want, true)
	require.NoError(t, err)
	require.Equal(t, link.Attrs().Index, have[0].Index)

	require.NoError(t, netlink.LinkSetAlias(link, "other"))
	require.ErrorContains(t, dev.Create(t.Context(), "mesh0", 1420), "not created by Meshway")
	require.NoError(t, netlink.LinkSetDown(link))
	require.ErrorContains(t, dev.Create(t.Context(), "mesh0", 1420), "not created by Meshway", "it has a key")
	require.NoError(t, netlink.LinkSetAlias(link, device.Alias))
}

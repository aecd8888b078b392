//go:build linux && root

package userspace_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/meshway/meshway/tunnel/userspace"
)

// TestAnInterfaceIsUpForItsProcessWhenItIsUp also holds for the first event, which
// wireguard-go derives from the result of a write.
func TestAnInterfaceIsUpForItsProcessWhenItIsUp(t *testing.T) {
	dev, err := userspace.OpenTUN("mesh0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dev.Close()) })
	link, err := netlink.LinkByName("mesh0")
	require.NoError(t, err)

	require.NoError(t, netlink.LinkSetMTU(link, 1400))
	seen := eventsUntil(t, dev, tun.EventMTUUpdate)
	require.Zero(t, seen&tun.EventUp, "the interface is down")
	require.NoError(t, netlink.LinkSetUp(link))
	eventsUntil(t, dev, tun.EventUp)
}

// eventsUntil receives events until one has all bits of last, and returns the bits of
// all.
func eventsUntil(t *testing.T, dev tun.Device, last tun.Event) (seen tun.Event) {
	t.Helper()
	for event := range dev.Events() {
		seen |= event
		if event&last == last {
			return seen
		}
	}
	require.Fail(t, "the interface is closed")
	return seen
}

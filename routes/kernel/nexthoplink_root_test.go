//go:build linux && root

package kernel_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/routestest"
)

func TestWatchWakesWhenALinkWithANexthopGoesDown(t *testing.T) {
	w := newWorld(t)
	w.ip("link add eth0 type veth peer name other")
	w.ip("link set other up")
	w.ip("link set eth0 up")
	w.ip("addr add 192.0.2.9/24 dev eth0")
	want := routes.Config{Table: routes.DefaultTable, Nexthops: []routes.Nexthop{
		{ID: routes.SiblingNexthopID(0, routes.IPv4), Family: routes.IPv4, Device: "eth0", Via: netip.MustParseAddr("192.0.2.1")},
	}}
	_, err := routestest.Apply(t.Context(), w, want, true)
	require.NoError(t, err)
	wakes := watch(t, w)
	w.ip("link set eth0 down")
	select {
	case <-wakes:
	case <-time.After(5 * time.Second):
		t.Error("no wake")
	}
	got, err := w.Observe(t.Context(), want.Table)
	require.NoError(t, err)
	require.Empty(t, got.Nexthops, "the kernel deletes it without a message")
}

//go:build linux && root

package kernel_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/routestest"
)

func TestHostRoutesReturnsTheMainTable(t *testing.T) {
	w := newWorld(t)
	_, err := routestest.Apply(t.Context(), w, routestest.Sample(), true)
	require.NoError(t, err)
	for _, line := range []string{
		"addr add 192.0.2.9/24 dev pmesh0",
		"route add 10.44.1.0/24 via 192.0.2.8",
		"route add 10.44.2.7/32 dev pmesh1",
		"route add blackhole 10.44.3.0/26 proto 80",
		"route add 10.44.4.0/24 via inet6 fe80::1 dev pmesh1",
		"route add 10.44.5.0/24 nexthop via 192.0.2.7 nexthop via 192.0.2.8",
		"-6 route add fd44:2::/64 dev pmesh1",
		"route add 10.44.6.0/24 dev pmesh1 table 100",
	} {
		w.ip("%s", line)
	}
	list, err := w.HostRoutes(t.Context())
	require.NoError(t, err)
	found := map[string]routes.HostRoute{}
	for _, r := range list {
		found[r.Prefix.String()] = r
	}
	at := func(prefix string, r routes.HostRoute) {
		t.Helper()
		r.Prefix = netip.MustParsePrefix(prefix)
		assert.Equal(t, r, found[prefix])
	}
	at("192.0.2.0/24", routes.HostRoute{Device: "pmesh0"})
	at("10.44.1.0/24", routes.HostRoute{Device: "pmesh0", Via: netip.MustParseAddr("192.0.2.8")})
	at("10.44.2.7/32", routes.HostRoute{Device: "pmesh1"})
	at("10.44.3.0/26", routes.HostRoute{Drop: "blackhole"})
	at("10.44.4.0/24", routes.HostRoute{Device: "pmesh1", Via: netip.MustParseAddr("fe80::1")})
	at("10.44.5.0/24", routes.HostRoute{})
	at("fd44:2::/64", routes.HostRoute{Device: "pmesh1"})
	assert.NotContains(t, found, "10.44.6.0/24")
	for _, r := range routestest.Sample().Routes {
		assert.NotContains(t, found, r.Prefix.String(), "Meshway's routes are in another table")
	}
}

func TestWatchReportsLocalHostRoutesAfterHostRoutesIsCalled(t *testing.T) {
	w := newWorld(t)
	_, err := routestest.Apply(t.Context(), w, routestest.Sample(), true)
	require.NoError(t, err)
	w.ip("addr add 192.0.2.9/24 dev pmesh0")
	wakes := watch(t, w)
	w.ip("route add 10.44.2.7/32 dev pmesh1")
	w.DeleteRule(routes.DefaultTable, routestest.Sample().Rules[0]) // the first change that wakes
	<-wakes
	assert.Empty(t, wakes)
	_, err = w.HostRoutes(t.Context())
	require.NoError(t, err)
	w.ip("route add 10.44.1.0/24 via 192.0.2.8") // not to pods of this host
	assert.Empty(t, wakes)
	for _, line := range []string{"route add 10.3.7.0/24 via 192.0.2.8", "route del 10.3.7.0/24", "route add 10.44.2.8/32 dev pmesh1", "route add blackhole 10.44.3.0/26", "route del 10.44.2.8/32"} {
		w.ip("%s", line)
		select {
		case <-wakes:
		case <-time.After(5 * time.Second):
			t.Error("no wake after", line)
		}
	}
}

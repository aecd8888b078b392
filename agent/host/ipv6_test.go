package host

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/routes"
)

// ipv6Settings returns a root with settings, such as "all/disable_ipv6".
func ipv6Settings(t *testing.T, values map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for key, value := range values {
		file := filepath.Join(root, "conf", key)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
		require.NoError(t, os.WriteFile(file, []byte(value+"\n"), 0o600))
	}
	return root
}

func TestIPv6ThatIsSwitchedOffIsObserved(t *testing.T) {
	for _, c := range []struct {
		all, preset string
		want        plan.IPv6
	}{{"0", "0", plan.IPv6Everywhere}, {"1", "1", plan.IPv6InLanes}, {"0", "1", plan.IPv6Everywhere}, {"1", "0", plan.IPv6InLanes}} {
		root := ipv6Settings(t, map[string]string{"all/disable_ipv6": c.all, "default/disable_ipv6": c.preset})
		assert.Equal(t, c.want, ipv6Of(root), c)
	}
	for _, root := range []string{t.TempDir(), filepath.Join(t.TempDir(), "missing")} {
		assert.Equal(t, plan.IPv6Missing, ipv6Of(root), "the kernel has no IPv6")
	}
}

func TestDefaultRoutesOfRouterAdvertisementsAreObserved(t *testing.T) {
	root := ipv6Settings(t, map[string]string{"eth0/accept_ra": "1", "eth1/accept_ra": "2", "eth2/accept_ra": "0", "eth3/accept_ra": "1"})
	route := func(prefix, device string, advertised bool) routes.HostRoute {
		return routes.HostRoute{Prefix: netip.MustParsePrefix(prefix), Device: device, Advertised: advertised}
	}
	assert.Equal(t, []string{"eth0", "eth1"}, advertised(root, []routes.HostRoute{
		route("::/0", "eth1", true), route("::/0", "eth0", true), route("::/0", "eth0", true),
		route("::/0", "eth2", true), // another program processes the advertisements
		route("::/0", "eth3", false), route("2001:db8::/64", "eth3", true), route("::/0", "gone", true),
	}, []string{"eth3"}, true))
}

// TestUplinksWithoutAnAdvertisedRouteYetAreObserved has no route: an advertisement that
// arrives after forwarding is set would be ignored.
func TestUplinksWithoutAnAdvertisedRouteYetAreObserved(t *testing.T) {
	root := ipv6Settings(t, map[string]string{"eth0/accept_ra": "1", "eth1/accept_ra": "0", "eth2/accept_ra": "2", "cni0/accept_ra": "1"})
	uplinks := []string{"eth0", "eth1", "eth2", "gone"}
	assert.Equal(t, []string{"eth0", "eth2"}, advertised(root, nil, uplinks, false))
	assert.Empty(t, advertised(root, nil, uplinks, true), "a router ignored advertisements before")
	for before, want := range map[string]bool{"0": false, "1": true, "": true} {
		h := Host{Before: func(key string) (string, error) {
			assert.Equal(t, "net/ipv6/conf/all/forwarding", key)
			return before, nil
		}}
		assert.Equal(t, want, h.forwardedIPv6(), before)
	}
}

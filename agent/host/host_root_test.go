//go:build linux && root

package host_test

import (
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/agent/host"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

func TestObserveDistinguishesUnderlayAndOverlaysFromPodDevices(t *testing.T) {
	runtime.LockOSThread() // never unlocked: thread and namespace end with the test
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNET), "this test needs root")
	for _, command := range []string{
		"ip link add cni0 type bridge", "ip addr add 10.1.0.1/24 dev cni0", "ip link set cni0 up",
		"ip link add veth1 type veth peer name pod1", "ip link set veth1 master cni0",
		"ip link add eth0 type veth peer name other", "ip addr add 192.0.2.1/24 dev eth0", "ip link set eth0 up",
		"ip link add flannel.1 type vxlan id 1 dstport 8472 dev eth0", "ip link set flannel.1 up",
		"ip link add idle type vxlan id 2 dstport 8473 dev eth0",
		"ip link add mesh0 type vxlan id 3 dstport 8474 dev eth0", "ip link set mesh0 alias meshway up",
		"ip link add mesh1 type veth peer name more", "ip link set mesh1 alias other up", "ip addr add 198.51.100.1/24 dev mesh1",
	} {
		words := strings.Fields(command)
		out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
		require.NoError(t, err, "%s: %s", command, out)
	}
	pods := []catalog.Prefix{{CIDR: netip.MustParsePrefix("10.1.0.0/16"), Kind: catalog.PodPrefix}}
	observed, err := host.Host{TunnelPrefix: "mesh", Prefixes: func() []catalog.Prefix { return pods }}.Observe(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"eth0", "mesh1"}, observed.Underlay, "an interface of others may have a name of ours")
	assert.Equal(t, []string{"mesh1"}, observed.Foreign)
	assert.Contains(t, observed.Links, plan.Link{Device: "cni0", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}, Ports: []string{"veth1"}})
	assert.Equal(t, []string{"flannel.1"}, observed.Overlays, "neither Meshway's own nor one that is down")
}

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
)

func TestLinkMTUIsThatOfTheLinksTowardsTheAddresses(t *testing.T) {
	runtime.LockOSThread() // never unlocked: thread and namespace end with the test
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNET), "this test needs root")
	for _, command := range []string{
		"ip link set lo up", "ip addr add 203.0.113.1/32 dev lo", // the uplink has no address
		"ip link add eth0 mtu 1400 type veth peer name other", "ip link set eth0 up", "ip link set other up",
		"ip route add default dev eth0 src 203.0.113.1",
		"ip link add eth1 mtu 9000 type veth peer name another", "ip link set eth1 up", "ip link set another up",
		"ip addr add 198.51.100.1/24 dev eth1",
		"ip tuntap add tun0 mode tun", "ip link set tun0 mtu 1280 up", "ip addr add 10.8.0.1/24 dev tun0", // another VPN
		"ip link add mesh0 mtu 1000 type veth peer name more", "ip link set mesh0 alias meshway up", "ip link set more up",
		"ip route add 192.0.2.0/24 dev mesh0 table 7117", "ip rule add not fwmark 0x20/0x20 lookup 7117",
	} {
		words := strings.Fields(command)
		out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
		require.NoError(t, err, "%s: %s", command, out)
	}
	h := host.Host{TunnelPrefix: "mesh", Mark: 0x20}
	for want, to := range map[int][]string{
		0:    {"2001:db8::1"}, // no route
		1280: {"10.8.0.2"},
		1400: {"192.0.2.1", "198.51.100.2", "203.0.113.1"}, // the last one is an own address
		9000: {"198.51.100.2", "198.51.100.3"},
	} {
		var addresses []netip.Addr
		for _, a := range to {
			addresses = append(addresses, netip.MustParseAddr(a))
		}
		assert.Equal(t, want, h.LinkMTU(t.Context(), addresses), to)
	}
}

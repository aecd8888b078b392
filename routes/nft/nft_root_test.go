//go:build linux && root

package nft_test

import (
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/nft"
	"github.com/meshway/meshway/routes/routestest"
)

func TestFilterMeetsTheContract(t *testing.T) {
	routestest.FilterContract(t, func(t *testing.T) routestest.FilterWorld {
		w := newWorld(t)
		w.run("ip link set mesh0 down") // the kernel sends multicast by a link that is up
		return w
	})
}

func TestNftAcceptsTheGoldens(t *testing.T) {
	w := newWorld(t)
	files, err := filepath.Glob("testdata/*.nft")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		w.run("nft -c -f %s", file)
	}
}

func TestForeignTablesAreKept(t *testing.T) {
	w := newWorld(t)
	w.run("nft add table inet other")
	w.run("nft add chain inet other post { type nat hook postrouting priority 100 ; }")
	before := w.run("nft -a list table inet other")
	require.NoError(t, w.Apply(t.Context(), routestest.SampleFirewall()))
	require.NoError(t, w.Remove(t.Context()))
	assert.Equal(t, before, w.run("nft -a list ruleset"))
}

func TestCheckChangesNothing(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, nft.Check(t.Context()))
	assert.Empty(t, w.run("nft list ruleset"))
	require.NoError(t, w.Apply(t.Context(), routestest.SampleFirewall()))
	before := w.run("nft -as list ruleset")
	require.NoError(t, nft.Check(t.Context()))
	assert.Equal(t, before, w.run("nft -as list ruleset"))
}

func TestApplyKeepsCounterValues(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.Apply(t.Context(), routestest.SampleFirewall()))
	w.in(w.right, func() { w.run("ip addr add 10.9.0.1/32 dev lo") })
	require.False(t, w.datagram(w.right, "10.9.0.1:0", 0, "10.1.0.1:4000").IsValid())
	before := w.dropped(routes.CounterTunnel)
	require.NotZero(t, before)
	written := w.Written()
	require.NoError(t, w.Apply(t.Context(), routes.Firewall{}))
	require.NotEqual(t, written, w.Written())
	assert.GreaterOrEqual(t, w.dropped(routes.CounterTunnel), before)
}

// dropped returns the number of packets that a counter has counted.
func (w *world) dropped(name string) uint64 {
	w.t.Helper()
	counters, err := w.Counters(w.t.Context())
	require.NoError(w.t, err)
	for _, c := range counters {
		if c.Name == name {
			return c.Packets
		}
	}
	w.t.Fatal("no counter " + name)
	return 0
}

func TestPodSourceSurvivesAForeignMasquerade(t *testing.T) {
	w := newWorld(t)
	w.run("nft add table inet cni")
	w.run("nft add chain inet cni post { type nat hook postrouting priority 100 ; }")
	w.run("nft add rule inet cni post masquerade")
	tests := map[string]struct {
		fromNS      int
		from        string
		toNS        int
		to, gateway string
	}{
		"IPv4 out": {w.left, "10.1.0.2", w.right, "10.2.0.2:4000", "10.2.0.1"},
		"IPv4 in":  {w.right, "10.2.0.2", w.left, "10.1.0.2:4000", "10.1.0.1"},
		"IPv6 out": {w.left, "fd00:1::2", w.right, "[fd00:2::2]:4000", "fd00:2::1"},
		"IPv6 in":  {w.right, "fd00:2::2", w.left, "[fd00:1::2]:4000", "fd00:1::1"},
	}
	for name, test := range tests {
		require.NoError(t, w.Remove(t.Context()))
		source := w.datagram(test.fromNS, net.JoinHostPort(test.from, "0"), test.toNS, test.to)
		assert.Equal(t, test.gateway, source.Addr().String(), "%s: the foreign chain translates", name)
		require.NoError(t, w.Apply(t.Context(), routestest.SampleFirewall()))
		source = w.datagram(test.fromNS, net.JoinHostPort(test.from, "0"), test.toNS, test.to)
		assert.Equal(t, test.from, source.Addr().String(), name)
	}
}

// A client that connects to a NodePort of this host, whose endpoint is in another
// datacenter, gets a translated reply only if the reply returns to this host.
func TestNodePortClientsGetTheAddressOfThisHost(t *testing.T) {
	w := newWorld(t)
	w.run("nft add table inet proxy")
	w.run("nft add chain inet proxy pre { type nat hook prerouting priority -100 ; }")
	for family, addresses := range map[string][]string{"ip": {"10.1.0.1", "10.101.0.9"}, "ip6": {"fd00:1::1", "fd00:101::9"}} {
		to := map[string]string{"ip": "10.2.0.2:4000", "ip6": "[fd00:2::2]:4000"}[family]
		for _, address := range addresses {
			w.run("nft add rule inet proxy pre %s daddr %s udp dport 30080 dnat %s to %s", family, address, family, to)
		}
	}
	fw := routestest.SampleFirewall()
	fw.NodePortSNAT = routes.NodePortSNAT{
		Addresses:  []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("fd00:1::1")},
		ClusterIPs: prefixes("10.101.0.0/16", "fd00:101::/112"),
	}
	require.NoError(t, w.Apply(t.Context(), fw))
	for name, test := range map[string]struct{ from, dialled, to, source string }{
		"IPv4 node port":  {"10.1.0.2", "10.1.0.1:30080", "10.2.0.2:4000", "10.1.0.1"},
		"IPv4 cluster IP": {"10.1.0.2", "10.101.0.9:30080", "10.2.0.2:4000", "10.1.0.2"},
		"IPv4 pod":        {"10.1.0.2", "10.2.0.2:4000", "10.2.0.2:4000", "10.1.0.2"},
		"IPv6 node port":  {"fd00:1::2", "[fd00:1::1]:30080", "[fd00:2::2]:4000", "fd00:1::1"},
		"IPv6 cluster IP": {"fd00:1::2", "[fd00:101::9]:30080", "[fd00:2::2]:4000", "fd00:1::2"},
		"IPv6 pod":        {"fd00:1::2", "[fd00:2::2]:4000", "[fd00:2::2]:4000", "fd00:1::2"},
	} {
		source := w.datagramTo(test.dialled, w.left, net.JoinHostPort(test.from, "0"), w.right, test.to)
		assert.Equal(t, test.source, source.Addr().String(), name)
	}
}

func TestSpoofedSourcesAreDropped(t *testing.T) {
	w := newWorld(t)
	for ns, host := range map[int]int{w.left: 8, w.right: 9} { // the addresses that they use as sources
		w.in(ns, func() {
			w.run("ip addr add 10.2.9.%d/32 dev lo", host)
			w.run("ip addr add 10.9.9.%d/32 dev lo", host)
			w.run("ip addr add fd00:2::%d/128 dev lo nodad", host)
			w.run("ip addr add fd00:9::%d/128 dev lo nodad", host)
		})
	}
	require.NoError(t, w.Apply(t.Context(), routestest.SampleFirewall()))
	tests := map[string]struct {
		fromNS  int
		from    string
		toNS    int
		to      string
		arrives bool
	}{
		"lane, its source":                {w.right, "10.2.9.9:0", w.left, "10.1.0.2:4000", true},
		"lane, its source, IPv6":          {w.right, "[fd00:2::9]:0", w.left, "[fd00:1::2]:4000", true},
		"lane, other source":              {w.right, "10.9.9.9:0", w.left, "10.1.0.2:4000", false},
		"lane, other source, IPv6":        {w.right, "[fd00:9::9]:0", w.left, "[fd00:1::2]:4000", false},
		"lane, other source, tunnel port": {w.right, "10.9.9.9:0", 0, "10.1.0.1:51820", false},
		"underlay, own source":            {w.left, "10.1.0.2:0", w.right, "10.2.0.2:4000", true},
		"underlay, unknown source":        {w.left, "10.9.9.8:0", 0, "10.1.0.1:4000", true},
		"underlay, remote source":         {w.left, "10.2.9.8:0", 0, "10.1.0.1:4000", false},
		"underlay, remote source, IPv6":   {w.left, "[fd00:2::8]:0", 0, "[fd00:1::1]:4000", false},
		"underlay, tunnel port":           {w.left, "10.2.9.8:0", 0, "10.1.0.1:51820", true},
		"underlay, tunnel port, IPv6":     {w.left, "[fd00:2::8]:0", 0, "[fd00:1::1]:51820", true},
		"underlay, tunnel port forwarded": {w.left, "10.2.9.8:0", w.right, "10.2.0.2:51820", false},
	}
	for name, test := range tests {
		assert.Equal(t, test.arrives, w.datagram(test.fromNS, test.from, test.toNS, test.to).IsValid(), name)
	}
	// The counters may also include multicast packets of the links themselves.
	assert.GreaterOrEqual(t, w.dropped(routes.CounterTunnel), uint64(3))
	assert.GreaterOrEqual(t, w.dropped(routes.CounterUnderlay), uint64(3))
}

func TestPacketsFromLanesReachOnlyWhatIsAnnounced(t *testing.T) {
	w := newWorld(t)
	w.run("ip addr add 10.77.0.1/32 dev lo")
	w.run("ip addr add 192.0.2.1/32 dev lo")
	w.run("ip route add 192.0.2.9/32 via 10.1.0.2")
	w.in(w.left, func() { w.run("ip addr add 192.0.2.9/32 dev lo") })
	fw := routestest.SampleFirewall()
	fw.Confine = routes.Confine{Lanes: []string{"mesh0"}, Address: netip.MustParseAddr("10.77.0.1"), LivenessPort: 3784}
	tests := map[string]struct {
		ns      int
		to      string
		arrives bool
	}{
		"pod":                        {w.left, "10.1.0.2:4000", true},
		"pod, IPv6":                  {w.left, "[fd00:1::2]:4000", true},
		"announced host address":     {0, "10.1.0.1:4000", true},
		"not announced, behind it":   {w.left, "192.0.2.9:4000", false},
		"not announced, on the host": {0, "192.0.2.1:4000", false},
		"overlay address, liveness":  {0, "10.77.0.1:3784", true},
		"overlay address, other":     {0, "10.77.0.1:53", false},
	}
	for _, confined := range []bool{false, true} {
		if confined {
			require.NoError(t, w.Apply(t.Context(), fw))
		} else {
			require.NoError(t, w.Apply(t.Context(), routestest.SampleFirewall()))
		}
		for name, test := range tests {
			from := "10.2.0.2:0"
			if strings.HasPrefix(test.to, "[") {
				from = "[fd00:2::2]:0"
			}
			assert.Equal(t, test.arrives || !confined, w.datagram(w.right, from, test.ns, test.to).IsValid(), "%s, confined: %t", name, confined)
		}
	}
	assert.GreaterOrEqual(t, w.dropped(routes.CounterUnannounced), uint64(3))
	assert.NoError(t, w.connect(w.right, "10.2.0.2", 0, "10.77.0.1:7443"), "the control port")
	assert.Error(t, w.connect(w.right, "10.2.0.2", 0, "10.77.0.1:22"))
	w.run("ip rule add fwmark 0x20/0x20 lookup main") // the connection from this host uses the lane
	assert.NoError(t, w.connect(0, "10.77.0.1", w.right, "10.2.0.2:7443"), "replies")
}

// The device mesh0 is no lane here: it is the device by which another program
// has routed the packets.
func TestPacketsToRemoteLeaveByLanesOnly(t *testing.T) {
	w := newWorld(t)
	w.run("nft add table inet marks")
	w.run("nft add chain inet marks pre { type filter hook prerouting priority -150 ; }")
	w.run("nft add rule inet marks pre udp dport 4001 meta mark set 0x20")
	w.run("nft add chain inet marks out { type filter hook output priority 300 ; }")
	w.run("nft add rule inet marks out udp dport 4001 meta mark set 0x20")
	fw := routestest.SampleFirewall()
	fw.Lanes[0].Device = "mesh9"
	tests := map[string]struct {
		fromNS  int
		from    string
		to      string
		arrives bool
	}{
		"pod":                      {w.left, "10.1.0.2:0", "10.2.0.2:4000", false},
		"pod, IPv6":                {w.left, "[fd00:1::2]:0", "[fd00:2::2]:4000", false},
		"pod, marked":              {w.left, "10.1.0.2:51820", "10.2.0.2:4001", false},
		"host":                     {0, "10.2.0.1:0", "10.2.0.2:4000", false},
		"host, marked, other port": {0, "10.2.0.1:51821", "10.2.0.2:4001", false},
		"host, unmarked, tunnel":   {0, "10.2.0.1:51820", "10.2.0.2:4000", false},
		"tunnel":                   {0, "10.2.0.1:51820", "10.2.0.2:4001", true},
		"tunnel, IPv6":             {0, "[fd00:2::1]:51820", "[fd00:2::2]:4001", true},
	}
	require.NoError(t, w.Apply(t.Context(), fw))
	blocked := w.dropped(routes.CounterUnencrypted)
	for name, test := range tests {
		assert.Equal(t, test.arrives, w.datagram(test.fromNS, test.from, w.right, test.to).IsValid(), name)
	}
	assert.GreaterOrEqual(t, w.dropped(routes.CounterUnencrypted)-blocked, uint64(6))

	for address, to := range map[string]string{"10.2.0.2": "10.2.0.2:4000", "fd00:2::2": "[fd00:2::2]:4000"} {
		fw.Hops = []routes.Hop{{Device: "mesh0", Address: netip.MustParseAddr(address)}}
		require.NoError(t, w.Apply(t.Context(), fw))
		from := map[string]string{"10.2.0.2": "10.1.0.2:0", "fd00:2::2": "[fd00:1::2]:0"}[address]
		assert.True(t, w.datagram(w.left, from, w.right, to).IsValid(), "%s is another host of this datacenter", address)
		fw.Hops[0].Address = fw.Hops[0].Address.Next()
		require.NoError(t, w.Apply(t.Context(), fw))
		assert.False(t, w.datagram(w.left, from, w.right, to).IsValid(), "the router is another one than %s", fw.Hops[0].Address)
	}
}

func TestPeerWhoseNodeAddressIsInRemoteCanConnect(t *testing.T) {
	w := newWorld(t)
	w.in(w.left, func() { w.run("ip addr add 10.2.9.9/32 dev lo") })
	w.run("ip route add 10.2.9.9/32 via 10.1.0.2")
	require.NoError(t, w.Apply(t.Context(), routestest.SampleFirewall()))
	assert.NoError(t, w.connect(w.left, "10.2.9.9", 0, "10.1.0.1:7443"), "the peer to this gateway")
	assert.NoError(t, w.connect(0, "10.1.0.1", w.left, "10.2.9.9:7443"), "this gateway to the peer")
	assert.Error(t, w.connect(w.left, "10.2.9.9", 0, "10.1.0.1:4000"), "another port of this gateway")
	assert.Error(t, w.connect(0, "10.1.0.1", w.left, "10.2.9.9:4000"), "another port of the peer")
}

// connect opens one TCP connection and closes it.
func (w *world) connect(fromNS int, from string, toNS int, to string) error {
	conn, accepted, err := w.dial(fromNS, from, toNS, to)
	if err == nil {
		conn.Close()
		accepted.Close()
	}
	return err
}

func (w *world) dial(fromNS int, from string, toNS int, to string) (conn, accepted net.Conn, err error) {
	w.t.Helper()
	var listener net.Listener
	listen := net.ListenConfig{Control: mark}
	w.in(toNS, func() { listener, err = listen.Listen(w.t.Context(), "tcp", to) })
	require.NoError(w.t, err)
	defer listener.Close()
	w.in(fromNS, func() {
		dialer := net.Dialer{Timeout: 500 * time.Millisecond, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Control: mark}
		conn, err = dialer.Dial("tcp", to)
	})
	if err != nil {
		return nil, nil, err
	}
	accepted, err = listener.Accept()
	require.NoError(w.t, err)
	return conn, accepted, nil
}

// mark sets the mark that meshd sets on the sockets of its control port.
func mark(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, routes.DefaultMark)
	})
	return errors.Join(err, failed)
}

func TestTCPSegmentsFitIntoTheTunnel(t *testing.T) {
	w := newWorld(t)
	w.run("ip link set mesh0 mtu 1300") // the remote end has 1500, like a pod
	for _, direction := range []struct {
		name         string
		fromNS, toNS int
		from, to     string
	}{
		{"out", w.left, w.right, "10.1.0.2", "10.2.0.2:4000"},
		{"in", w.right, w.left, "10.2.0.2", "10.1.0.2:4000"},
		{"out IPv6", w.left, w.right, "fd00:1::2", "[fd00:2::2]:4001"},
		{"in IPv6", w.right, w.left, "fd00:2::2", "[fd00:1::2]:4001"},
	} {
		header := 40
		if strings.Contains(direction.name, "IPv6") {
			header = 60
		}
		require.NoError(t, w.Remove(t.Context()))
		c, a := w.segments(direction.fromNS, direction.from, direction.toNS, direction.to)
		assert.Greater(t, max(c, a), 1300-header, "%s: too large without a table", direction.name)
		require.NoError(t, w.Apply(t.Context(), routestest.SampleFirewall()))
		c, a = w.segments(direction.fromNS, direction.from, direction.toNS, direction.to)
		assert.LessOrEqual(t, c, 1300-header, direction.name)
		assert.LessOrEqual(t, a, 1300-header, direction.name)
	}
}

// segments returns the maximum segment size, in bytes, of both ends of a connection.
func (w *world) segments(fromNS int, from string, toNS int, to string) (dialled, accepted int) {
	w.t.Helper()
	d, a, err := w.dial(fromNS, from, toNS, to)
	require.NoError(w.t, err)
	defer d.Close()
	defer a.Close()
	return w.segment(d), w.segment(a)
}

func (w *world) segment(c net.Conn) int {
	w.t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	require.NoError(w.t, err)
	size := 0
	var failed error
	require.NoError(w.t, raw.Control(func(fd uintptr) {
		size, failed = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG)
	}))
	require.NoError(w.t, failed)
	return size
}

func TestTrustedDevicesAcceptRemoteSourcesForThisDatacenterOnly(t *testing.T) {
	w := newWorld(t)
	fw := routestest.SampleFirewall()
	w.in(w.left, func() { w.run("ip addr add 10.2.7.7/32 dev lo") })
	for _, siblings := range [][]string{nil, {"l0"}} {
		fw.TrustedDevices = siblings
		require.NoError(t, w.Apply(t.Context(), fw))
		assert.Equal(t, siblings != nil, w.datagram(w.left, "10.2.7.7:0", 0, "10.1.0.1:4000").IsValid())
		assert.False(t, w.datagram(w.left, "10.2.7.7:0", w.right, "10.2.0.2:4000").IsValid(), "would leave the datacenter again")
	}
}

//go:build linux && root

package netns_test

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/e2e/harness"
	"github.com/meshway/meshway/routes"
)

// packetAttacks are what a member tries with the tunnels and with the control port of its
// own host.
var packetAttacks = []struct {
	name string
	run  func(t *testing.T, h *hostile)
}{
	{"it sends packets through its tunnels to what the others do not announce, and in the name of another", func(t *testing.T, h *hostile) {
		h.sendUnannounced(t)
	}},
	{"it answers a gateway without a leader that its datacenter is no member", func(t *testing.T, h *hostile) {
		h.denyMembership(t)
	}},
}

// sendTable is the routing table of the packets that the program sends.
const sendTable = "6666"

// sendUnannounced sends datagrams out of the lane of the program, whose firewall and
// AllowedIPs it has changed, to the first datacenter.
func (h *hostile) sendUnannounced(t *testing.T) {
	t.Helper()
	const port, spoofedPort, allowedPort = 9191, 9192, 9193
	victim, other := h.honest()[0], h.honest()[1]
	behind := victim.Workloads[1]
	own := netip.AddrFrom4([4]byte{10, h.dc.Workloads[0].Pod.As4()[1], 1, 1}) // of the gateway on the link of the pods
	beyond := netip.MustParseAddr("192.0.2.2")                                // of the second router
	gateway := canary(t, victim.Gateway, port)
	management := arrivals(t, h.management, port)
	transit := arrivals(t, other.Workloads[1].Host, port)
	exit := arrivals(t, h.topology.Routers[1], port)
	targets := map[netip.Addr]*atomic.Int32{
		netip.MustParseAddr(neededHost): management, netip.MustParseAddr("172.20.0.1"): gateway, victim.Underlay.Addr(): gateway, metadata: gateway,
		other.Workloads[1].Pod: transit, beyond: exit,
	}
	spoofed, allowed := arrivals(t, behind.Host, spoofedPort), arrivals(t, behind.Host, allowedPort)
	dropped := unannounced(t, victim)
	foreign := other.Workloads[0].Pod

	h.pauseAgent(t)
	run(t, h.dc.Gateway, "nft delete table inet "+routes.FirewallTable, "ip address add "+foreign.String()+"/32 dev lo",
		"ip route add "+behind.Pod.String()+" dev mesh0 table "+sendTable)
	for _, from := range []netip.Addr{own, foreign} {
		run(t, h.dc.Gateway, fmt.Sprintf("ip rule add pref 50 from %s lookup %s", from, sendTable))
		defer run(t, h.dc.Gateway, fmt.Sprintf("ip rule del pref 50 from %s lookup %s", from, sendTable))
	}
	defer run(t, h.dc.Gateway, "ip address del "+foreign.String()+"/32 dev lo", "ip route flush table "+sendTable)
	for to := range targets {
		run(t, h.dc.Gateway, fmt.Sprintf("ip route add %s dev mesh0 table %s", to, sendTable))
		h.routeTo(t, victim, to)
	}
	for to := range targets {
		h.send(t, own, netip.AddrPortFrom(to, port))
	}
	h.send(t, foreign, netip.AddrPortFrom(behind.Pod, spoofedPort))
	eventually(t, timeout, "what is announced is reached in the same way", func(context.Context) error {
		h.send(t, own, netip.AddrPortFrom(behind.Pod, allowedPort))
		if allowed.Load() == 0 {
			return fmt.Errorf("nothing has arrived at %s", behind.Pod)
		}
		return nil
	})
	eventually(t, timeout, "the victim has counted what it dropped", func(context.Context) error {
		if n := unannounced(t, victim) - dropped; n < len(targets) {
			return fmt.Errorf("%d packets of %d", n, len(targets))
		}
		return nil
	})
	for to, arrived := range targets {
		assert.Zero(t, arrived.Load(), "packets arrived at %s, or at another address of its host", to)
	}
	assert.Zero(t, spoofed.Load(), "packets with the source %s arrived", foreign)
}

// unannounced returns how many packets from lanes the firewall of a gateway has dropped.
func unannounced(t *testing.T, at *harness.Datacenter) (packets int) {
	t.Helper()
	out, err := at.Gateway.Exec(t.Context(), "nft", "list", "counter", "inet", routes.FirewallTable, routes.CounterUnannounced)
	require.NoError(t, err)
	_, counted, _ := strings.Cut(out, "packets ")
	_, err = fmt.Sscan(counted, &packets)
	require.NoError(t, err, out)
	return packets
}

// routeTo adds an address to the AllowedIPs of a gateway on the program's own host.
func (h *hostile) routeTo(t *testing.T, peer *harness.Datacenter, address netip.Addr) {
	t.Helper()
	snapshot, err := peer.Status(t.Context())
	require.NoError(t, err)
	key, err := wgtypes.ParseKey(snapshot.Self.PublicKey)
	require.NoError(t, err)
	require.NoError(t, h.dc.Gateway.Do(func() error {
		client, err := wgctrl.New()
		if err != nil {
			return err
		}
		defer client.Close()
		return client.ConfigureDevice("mesh0", wgtypes.Config{Peers: []wgtypes.PeerConfig{{
			PublicKey: key, UpdateOnly: true, AllowedIPs: []net.IPNet{{IP: address.AsSlice(), Mask: net.CIDRMask(32, 32)}},
		}}})
	}))
}

// send sends one datagram from an address of the program's host.
func (h *hostile) send(t *testing.T, from netip.Addr, to netip.AddrPort) {
	t.Helper()
	require.NoError(t, h.dc.Gateway.Do(func() error {
		dialer := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
		conn, err := dialer.DialContext(t.Context(), "udp", to.String())
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte("hostile"))
		return err
	}))
}

// arrivals counts the connections and datagrams that arrive on a port of a host.
func arrivals(t *testing.T, host *harness.Host, port uint16) *atomic.Int32 {
	t.Helper()
	arrived := new(atomic.Int32)
	var listener net.Listener
	var packets net.PacketConn
	require.NoError(t, host.Do(func() (err error) {
		if listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp", fmt.Sprintf("[::]:%d", port)); err == nil {
			packets, err = new(net.ListenConfig).ListenPacket(t.Context(), "udp", fmt.Sprintf("[::]:%d", port))
		}
		return err
	}))
	var ended sync.WaitGroup
	ended.Go(func() {
		for conn, err := listener.Accept(); err == nil; conn, err = listener.Accept() {
			arrived.Add(1)
			_ = conn.Close()
		}
	})
	ended.Go(func() {
		for _, _, err := packets.ReadFrom(make([]byte, 2048)); err == nil; _, _, err = packets.ReadFrom(make([]byte, 2048)) {
			arrived.Add(1)
		}
	})
	t.Cleanup(func() {
		_, _ = listener.Close(), packets.Close()
		ended.Wait()
	})
	return arrived
}

// denyMembership replaces the agent of the program's host by a control port that refuses
// each call because the datacenter of the caller is no member, with the index of a catalog
// that is newer than all others. It keeps the others from a member that does not lead, so
// that this one has no leader and requests whether it was removed.
func (h *hostile) denyMembership(t *testing.T) {
	t.Helper()
	victim := h.follower(t)
	var denied atomic.Int32
	certifier := identity.NewCertifier(h.ca, h.id.Name(), nil)
	certifier.SetFederation(h.federation)
	never := func(catalog.GatewayID) bool { return false }
	h.dc.Agent.Kill()
	port := control.New(control.Config{
		Listen: netip.MustParseAddrPort("0.0.0.0:7443"), Certifier: certifier, Sockets: sockets{h.dc.Gateway}, Gateways: never, Replicates: never,
		CAs:     func(catalog.DatacenterName) [][]byte { return nil },
		Changed: func() <-chan struct{} { return nil },
		Index: func() uint64 {
			denied.Add(1)
			return math.MaxInt64
		},
	})
	ctx, end := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() { assert.NoError(t, port.Run(ctx)) })
	reject := fmt.Sprintf("ip daddr != %[1]s tcp dport 7443 reject with tcp reset; ip6 version 6 tcp dport 7443 reject with tcp reset", h.dc.Underlay.Addr())
	_, err := victim.Gateway.ExecInput(t.Context(), `table inet denied {
	chain out { type filter hook output priority -300; `+reject+`; }
	chain in { type filter hook input priority -300; tcp dport 7443 reject with tcp reset; `+
		fmt.Sprintf("ip saddr != %s tcp sport 7443 drop; ip6 version 6 tcp sport 7443 drop", h.dc.Underlay.Addr())+`; }
}
`, "nft", "-f", "-")
	require.NoError(t, err)
	eventually(t, timeout, victim.Name+" has requested whether it was removed", func(context.Context) error {
		if denied.Load() == 0 {
			return fmt.Errorf("no request has arrived")
		}
		return nil
	})
	run(t, victim.Gateway, "nft delete table inet denied")
	end()
	ended.Wait()
	require.NoError(t, h.dc.Run(within(t, timeout), binaries))
	awaitFederation(t, h.topology.Datacenters...)
	assert.NotContains(t, victim.Agent.Log(), "was removed from federation")
}

// follower returns a voter that does not lead, and not the second one, whose writes are
// measured.
func (h *hostile) follower(t *testing.T) *harness.Datacenter {
	t.Helper()
	snapshot, err := h.honest()[1].Status(t.Context())
	require.NoError(t, err)
	candidates := slices.Clone(h.honest())
	candidates = slices.DeleteFunc(candidates, func(dc *harness.Datacenter) bool {
		return dc == h.honest()[1] || snapshot.Catalog.Leader == string(h.ids[dc])
	})
	require.NotEmpty(t, candidates)
	return candidates[0]
}

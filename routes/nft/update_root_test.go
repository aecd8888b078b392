//go:build linux && root

package nft_test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/routes/nft"
	"github.com/meshway/meshway/routes/routestest"
)

func TestEveryForeignChangeIsDetectedAndReverted(t *testing.T) {
	w := newWorld(t)
	firstRule := func(chain string) string {
		for line := range strings.Lines(w.run("nft -a list chain inet meshway %s", chain)) {
			if _, handle, ok := strings.Cut(line, "# handle "); ok && !strings.Contains(line, "chain") {
				return strings.TrimSpace(handle)
			}
		}
		t.Fatal("no rule in " + chain)
		return ""
	}
	nft := func(commands ...string) func() {
		return func() {
			for _, command := range commands {
				w.run("nft %s", command)
			}
		}
	}
	changes := map[string]func(){
		"chain flushed":     nft("flush chain inet meshway clamp"),
		"rule deleted":      func() { w.run("nft delete rule inet meshway nosnat handle %s", firstRule("nosnat")) },
		"rule added":        nft("add rule inet meshway antispoof accept"),
		"element deleted":   nft("delete element inet meshway remote4 { 10.2.0.0/16 }"),
		"element added":     nft("add element inet meshway remote4 { 192.0.2.0/24 }"),
		"set flushed":       nft("flush set inet meshway lanes"),
		"set added":         nft("add set inet meshway other { type mark ; }"),
		"set of other type": nft("flush table inet meshway", "delete set inet meshway lanes", "add set inet meshway lanes { type mark ; }"),
		"map added":         nft("add map inet meshway other { type mark : verdict ; }"),
		"map with a chain": nft("add chain inet meshway other", "add map inet meshway m { type mark : verdict ; }",
			"add element inet meshway m { 1 : goto other }"),
		"counter added":         nft("add counter inet meshway other"),
		"counter deleted":       nft("flush table inet meshway", "delete counter inet meshway unencrypted"),
		"quota added":           nft("add quota inet meshway other 5 mbytes"),
		"chain added":           nft("add chain inet meshway other"),
		"chain jumped to":       nft("add chain inet meshway other", "insert rule inet meshway guard goto other"),
		"chain deleted":         nft("flush chain inet meshway guard", "delete chain inet meshway guard"),
		"chain of another hook": nft("flush chain inet meshway guard", "delete chain inet meshway guard", "add chain inet meshway guard { type filter hook output priority filter ; }"),
		"policy changed":        nft("add chain inet meshway guard { policy drop ; }"),
		"table made dormant":    nft("add table inet meshway { flags dormant ; }"),
		"table deleted":         nft("delete table inet meshway"),
		"all flushed":           nft("flush ruleset"),
	}
	require.NoError(t, w.Apply(t.Context(), routestest.SampleFirewall()))
	want := w.objects()
	for name, change := range changes {
		change()
		state, err := w.State(t.Context())
		require.NoError(t, err)
		assert.NotEqual(t, routes.TableIntact, state, name)
		require.NoError(t, w.Apply(t.Context(), routestest.SampleFirewall()), name)
		assert.Equal(t, want, w.objects(), name)
	}
}

// objects returns the objects of the table, sorted: what was deleted is added at the end.
func (w *world) objects() []string {
	_, objects, _ := strings.Cut(strings.TrimSuffix(w.run("nft --stateless list table inet meshway"), "}\n"), "\n")
	return slices.Sorted(strings.SplitSeq(strings.TrimSpace(objects), "\n\n"))
}

// TestUpdatesAndChecksOfTheTableLoseNoPacket forwards packets in both directions while
// the prefixes of the table change.
func TestUpdatesAndChecksOfTheTableLoseNoPacket(t *testing.T) {
	w := newWorld(t)
	firewall := func(k int) routes.Firewall {
		return routes.Firewall{
			Mark:        0x20,
			Lanes:       []routes.Lane{{Device: "mesh0", Sources: prefixes("10.2.0.0/24", "fd00:2::/64")}},
			Local:       prefixes("10.1.0.0/24", "fd00:1::/64"),
			Remote:      prefixes("10.2.0.0/24", "fd00:2::/64", fmt.Sprintf("10.%d.0.0/16", 100+k%100)),
			TunnelPorts: []uint16{51820},
			ControlPort: 7117,
		}
	}
	require.NoError(t, w.Apply(t.Context(), firewall(0)))
	var pinging sync.WaitGroup
	var ended atomic.Bool
	var sent, lost atomic.Int64
	for k, address := range []string{"10.2.0.2", "10.2.0.2", "fd00:2::2", "fd00:2::2"} {
		from := map[bool]string{true: "10.1.0.2", false: "fd00:1::2"}[netip.MustParseAddr(address).Is4()]
		server := netip.AddrPortFrom(netip.MustParseAddr(address), uint16(5000+k))
		conn := w.echo(server, netip.MustParseAddr(from))
		pinging.Go(func() {
			buffer := make([]byte, 16)
			for !ended.Load() {
				sent.Add(1)
				if _, err := conn.Write([]byte("ping")); err != nil {
					lost.Add(1)
					continue
				}
				_ = conn.SetReadDeadline(time.Now().Add(time.Second))
				if _, err := conn.Read(buffer); err != nil {
					lost.Add(1)
				}
			}
		})
	}
	for k := range 100 {
		require.NoError(t, w.Apply(t.Context(), firewall(k+1)))
		if k%10 == 0 {
			require.NoError(t, nft.Check(t.Context()), "beside the table in use")
		}
	}
	ended.Store(true)
	pinging.Wait()
	counters, err := w.Counters(t.Context())
	require.NoError(t, err)
	assert.Zero(t, lost.Load(), "of %d packets; counters %+v", sent.Load(), counters)
}

// echo starts a server in the namespace right, which ends with the test, and
// returns a connection to it from left.
func (w *world) echo(server netip.AddrPort, from netip.Addr) net.Conn {
	w.t.Helper()
	var conn *net.UDPConn
	var listener *net.UDPConn
	var err error
	w.in(w.right, func() { listener, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(server)) })
	require.NoError(w.t, err)
	w.t.Cleanup(func() { listener.Close() })
	go func() {
		buffer := make([]byte, 16)
		for {
			n, sender, err := listener.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			_, _ = listener.WriteToUDPAddrPort(buffer[:n], sender)
		}
	}()
	w.in(w.left, func() {
		conn, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), net.UDPAddrFromAddrPort(server))
	})
	require.NoError(w.t, err)
	w.t.Cleanup(func() { conn.Close() })
	return conn
}

//go:build linux && vm

package kernel_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/tunnel"
	"github.com/meshway/meshway/tunnel/device"
	"github.com/meshway/meshway/tunnel/tunneltest"
)

const (
	mark      = 0x20
	markTable = 100 // has the routes of packets with the mark
)

// pair is two hosts on one link:
//
//	a: 192.0.2.1 — veth — 192.0.2.2 :b
//	   fd00:100::1 == mesh0 == fd00:100::2
//
// They have a route to each other only for packets with the mark.
type pair struct {
	hosts [2]*host
	devs  [2]*device.Device
	want  [2][]tunnel.Config
}

func newPair(t *testing.T) *pair {
	p := &pair{}
	for i := range p.hosts {
		p.hosts[i], p.devs[i] = newHost(t), newDevice(t)
		p.want[i] = []tunnel.Config{{
			Name: "mesh0", ListenPort: uint16(51820 + i), Mark: mark, MTU: 1420,
			Addresses: []netip.Prefix{inner(i)},
			Peers: []tunnel.Peer{{
				PublicKey:  tunneltest.Key(byte(2 - i)).Public(),
				AllowedIPs: []netip.Prefix{inner(1 - i)},
			}},
		}}
	}
	p.want[0][0].Peers[0].Endpoint = netip.AddrPortFrom(outer(1).Addr(), 51821)
	require.NoError(t, p.hosts[0].Do(func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0",
			PeerNamespace: netlink.NsFd(int(p.hosts[1].net.Fd())),
		})
	}))
	for i, h := range p.hosts {
		require.NoError(t, h.Do(func() error { return errors.Join(addAddress("eth0", outer(i)), routeMarked("eth0", outer(1-i))) }))
	}
	p.apply(t)
	for i, h := range p.hosts {
		require.NoError(t, h.Do(func() error { return addRoute("mesh0", inner(1-i), unix.RT_TABLE_MAIN) }))
	}
	return p
}

func outer(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 32)
}

func inner(i int) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("fd00:100::%d/128", i+1))
}

func (p *pair) apply(t *testing.T) (have [2]tunnel.Observed) {
	t.Helper()
	for i := range p.hosts {
		have[i] = p.applyOn(t, i, p.devs[i])
	}
	return have
}

// applyOn applies the desired configuration of a host through dev.
func (p *pair) applyOn(t *testing.T, i int, dev tunnel.Device) tunnel.Observed {
	t.Helper()
	var have []tunnel.Observed
	require.NoError(t, p.hosts[i].Do(func() (err error) {
		have, err = tunnel.Apply(t.Context(), dev, tunneltest.Key(byte(i+1)), p.want[i], true)
		return err
	}))
	require.Len(t, have, 1)
	return have[0]
}

// echo sends datagrams from a to b through the tunnel until one is echoed.
func (p *pair) echo(t *testing.T) {
	t.Helper()
	at := net.UDPAddrFromAddrPort(netip.AddrPortFrom(inner(1).Addr(), 7))
	var a, b *net.UDPConn
	require.NoError(t, p.hosts[1].Do(func() (err error) { b, err = net.ListenUDP("udp", at); return err }))
	require.NoError(t, p.hosts[0].Do(func() (err error) { a, err = net.DialUDP("udp", nil, at); return err }))
	served := make(chan struct{})
	go func() {
		defer close(served)
		buf := make([]byte, 100)
		for {
			n, from, err := b.ReadFromUDPAddrPort(buf)
			if err != nil {
				return // closed at the end of echo
			}
			_, _ = b.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	defer func() {
		_, _ = a.Close(), b.Close()
		<-served
	}()
	require.Eventually(t, func() bool {
		buf := make([]byte, 100)
		if _, err := a.Write([]byte("hello")); err != nil {
			return false
		}
		_ = a.SetReadDeadline(time.Now().Add(time.Second))
		n, err := a.Read(buf)
		return err == nil && bytes.Equal(buf[:n], []byte("hello"))
	}, 20*time.Second, time.Millisecond)
}

func TestTheTunnelCarriesPacketsAndMarksEncryptedOnes(t *testing.T) {
	p := newPair(t)
	require.ErrorIs(t, p.hosts[0].Do(func() error {
		_, err := netlink.RouteGet(outer(1).Addr().AsSlice())
		return err
	}), unix.ENETUNREACH, "there is no route without the mark")
	p.echo(t)
	have := p.apply(t)
	// b has learnt the endpoint of a.
	p.want[1][0].Peers[0].Endpoint = netip.AddrPortFrom(outer(0).Addr(), 51820)
	for i, have := range have {
		tunneltest.RequireApplied(t, tunneltest.Key(byte(i+1)), p.want[i], []tunnel.Observed{have})
		peer := have.Peers[0]
		require.False(t, peer.LastHandshake.IsZero())
		require.NotZero(t, peer.ReceivedBytes)
		require.NotZero(t, peer.TransmittedBytes)
	}
}

func TestARestartedAgentKeepsTheSessions(t *testing.T) {
	p := newPair(t)
	p.echo(t)
	before := p.apply(t)
	for i := range p.hosts {
		// A fresh device, as after a restart. Any change fails the test.
		after := p.applyOn(t, i, tunneltest.ReadOnly{Device: newDevice(t)})
		require.False(t, before[i].Peers[0].LastHandshake.IsZero())
		require.Equal(t, before[i].Peers[0].LastHandshake, after.Peers[0].LastHandshake)
		require.Equal(t, before[i].Index, after.Index)
		require.GreaterOrEqual(t, after.Peers[0].ReceivedBytes, before[i].Peers[0].ReceivedBytes)
	}
	p.echo(t)
	require.Equal(t, before[0].Peers[0].LastHandshake, p.apply(t)[0].Peers[0].LastHandshake)
}

func TestARoamedPeerIsNotOverwritten(t *testing.T) {
	p := newPair(t)
	p.echo(t)
	p.want[0][0].ListenPort = 40000 // a moves
	p.apply(t)
	p.echo(t)
	roamed := netip.AddrPortFrom(outer(0).Addr(), 40000)
	require.Equal(t, roamed, p.applyOn(t, 1, tunneltest.ReadOnly{Device: p.devs[1]}).Peers[0].Endpoint)
	p.want[1][0].Peers[0].Endpoint = roamed // as a planner that keeps a roamed endpoint
	p.applyOn(t, 1, tunneltest.ReadOnly{Device: p.devs[1]})
}

func TestAddingAndRemovingAPrefixKeepsTheSession(t *testing.T) {
	p := newPair(t)
	p.echo(t)
	handshake := p.apply(t)[0].Peers[0].LastHandshake
	peer := &p.want[0][0].Peers[0]
	for range 3 {
		peer.AllowedIPs = append(peer.AllowedIPs, netip.MustParsePrefix("fd00:200::/64"))
		require.Len(t, p.apply(t)[0].Peers[0].AllowedIPs, 2)
		peer.AllowedIPs = peer.AllowedIPs[:1]
		have := p.apply(t)[0]
		require.Len(t, have.Peers, 1, "the parking peer is gone")
		require.Equal(t, handshake, have.Peers[0].LastHandshake)
		p.echo(t)
	}
}

func addAddress(name string, address netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(address.String())
	if err != nil {
		return err
	}
	return errors.Join(netlink.AddrAdd(link, addr), netlink.LinkSetUp(link))
}

func addRoute(name string, to netip.Prefix, table int) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	dst, err := netlink.ParseIPNet(to.String())
	if err != nil {
		return err
	}
	return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst, Table: table, Scope: netlink.SCOPE_LINK})
}

// routeMarked adds a route for packets with the mark only.
func routeMarked(name string, to netip.Prefix) error {
	rule := netlink.NewRule()
	rule.Mark, rule.Table, rule.Family = mark, markTable, unix.AF_INET
	return errors.Join(netlink.RuleAdd(rule), addRoute(name, to, markTable))
}

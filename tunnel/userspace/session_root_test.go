//go:build linux && root

package userspace_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/tunnel"
	"github.com/meshway/meshway/tunnel/device"
	"github.com/meshway/meshway/tunnel/tunneltest"
)

// pair is two hosts on one link:
//
//	a: 192.0.2.1 — veth — 192.0.2.2 :b
//	   fd00:100::1 == mesh0 == fd00:100::2
type pair struct {
	hosts [2]*host
	devs  [2]*device.Device
	want  [2][]tunnel.Config
}

func newPair(t testing.TB) *pair {
	p := &pair{}
	for i := range p.hosts {
		p.hosts[i] = newHost(t)
		p.devs[i] = newDevice(t)
		t.Cleanup(func() { removeAll(t, p.hosts[i].Do, p.devs[i]) })
	}
	p.hosts[0].Netlink(t, func(n *netlink.Handle) error {
		return n.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0",
			PeerNamespace: netlink.NsFd(int(p.hosts[1].net.Fd())),
		})
	})
	for i, h := range p.hosts {
		h.Netlink(t, func(n *netlink.Handle) error { return addAddress(n, "eth0", fmt.Sprintf("192.0.2.%d/24", i+1)) })
		p.want[i] = []tunnel.Config{{
			Name: "mesh0", ListenPort: 51820, Mark: 0x20, MTU: 1420,
			Addresses: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("fd00:100::%d/128", i+1))},
			Peers: []tunnel.Peer{{
				PublicKey:  tunneltest.Key(byte(2 - i)).Public(),
				AllowedIPs: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("fd00:100::%d/128", 2-i))},
			}},
		}}
	}
	p.want[0][0].Peers[0].Endpoint = netip.MustParseAddrPort("192.0.2.2:51820")
	p.apply(t)
	for i, h := range p.hosts {
		h.Netlink(t, func(n *netlink.Handle) error { return addRoute(n, "mesh0", fmt.Sprintf("fd00:100::%d/128", 2-i)) })
	}
	return p
}

// apply applies the desired configurations on both hosts.
func (p *pair) apply(t testing.TB) (have [2]tunnel.Observed) {
	t.Helper()
	for i, h := range p.hosts {
		var all []tunnel.Observed
		var err error
		h.Do(func() { all, err = tunnel.Apply(t.Context(), p.devs[i], tunneltest.Key(byte(i+1)), p.want[i], true) })
		require.NoError(t, err)
		require.Len(t, all, 1)
		have[i] = all[0]
	}
	return have
}

// ping sends datagrams from a to b through the tunnel until one is echoed.
func (p *pair) ping(t testing.TB) {
	t.Helper()
	var a, b *net.UDPConn
	var errA, errB error
	p.hosts[1].Do(func() { b, errB = net.ListenUDP("udp", udp("[fd00:100::2]:7")) })
	p.hosts[0].Do(func() { a, errA = net.DialUDP("udp", nil, udp("[fd00:100::2]:7")) })
	require.NoError(t, errors.Join(errA, errB))
	defer a.Close()
	defer b.Close()
	go func() {
		buf := make([]byte, 100)
		for {
			n, from, err := b.ReadFromUDPAddrPort(buf)
			if err != nil {
				return // closed at the end of ping
			}
			_, _ = b.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	require.Eventually(t, func() bool {
		buf := make([]byte, 100)
		if _, err := a.Write([]byte("hello")); err != nil {
			return false
		}
		_ = a.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		n, err := a.Read(buf)
		return err == nil && bytes.Equal(buf[:n], []byte("hello"))
	}, 10*time.Second, time.Millisecond)
}

func TestARestartedAgentKeepsTheSessions(t *testing.T) {
	p := newPair(t)
	p.ping(t)
	before := p.apply(t)
	require.False(t, before[0].Peers[0].LastHandshake.IsZero())
	processes := [2]string{processOf(t, p.hosts[0]), processOf(t, p.hosts[1])}
	// Fresh devices, as after a restart. Any Configure fails the test.
	for i, h := range p.hosts {
		h.Do(func() {
			have, err := tunnel.Apply(t.Context(), tunneltest.ReadOnly{Device: newDevice(t)}, tunneltest.Key(byte(i+1)), p.want[i], true)
			require.NoError(t, err)
			require.Equal(t, before[i].Peers[0].LastHandshake, have[0].Peers[0].LastHandshake)
			require.Equal(t, before[i].Index, have[0].Index)
			require.GreaterOrEqual(t, have[0].Peers[0].ReceivedBytes, before[i].Peers[0].ReceivedBytes)
		})
	}
	require.Equal(t, processes, [2]string{processOf(t, p.hosts[0]), processOf(t, p.hosts[1])})
	p.ping(t)
}

func TestARoamedPeerIsNotOverwritten(t *testing.T) {
	p := newPair(t)
	p.ping(t)
	// a moves: another address and another port.
	p.hosts[0].Netlink(t, func(n *netlink.Handle) error {
		if err := removeAddress(n, "eth0", "192.0.2.1/24"); err != nil {
			return err
		}
		return addAddress(n, "eth0", "192.0.2.77/24")
	})
	p.want[0][0].ListenPort = 40000
	p.apply(t)
	p.ping(t)
	roamed := netip.MustParseAddrPort("192.0.2.77:40000")
	require.Eventually(t, func() bool { return p.apply(t)[1].Peers[0].Endpoint == roamed }, 5*time.Second, 10*time.Millisecond)
	p.want[1][0].Peers[0].Endpoint = roamed // as a planner that keeps a roamed endpoint
	p.hosts[1].Do(func() {
		have, err := tunnel.Apply(t.Context(), tunneltest.ReadOnly{Device: p.devs[1]}, tunneltest.Key(2), p.want[1], true)
		require.NoError(t, err)
		require.Equal(t, roamed, have[0].Peers[0].Endpoint)
	})
}

func TestRemovingAPrefixKeepsTheOtherPrefixesOfThePeer(t *testing.T) {
	p := newPair(t)
	p.ping(t)
	handshake := p.apply(t)[0].Peers[0].LastHandshake
	for range 20 {
		p.want[0][0].Peers[0].AllowedIPs = append(p.want[0][0].Peers[0].AllowedIPs, netip.MustParsePrefix("fd00:200::/64"))
		p.apply(t)
		p.want[0][0].Peers[0].AllowedIPs = p.want[0][0].Peers[0].AllowedIPs[:1]
		have := p.apply(t)
		require.Len(t, have[0].Peers, 1, "the parking peer is gone")
		require.Equal(t, handshake, have[0].Peers[0].LastHandshake)
	}
	p.ping(t)
}

// processOf returns the pid of the data plane process of a host.
func processOf(t *testing.T, h *host) (pid string) {
	h.Do(func() { pid = ownerPID(t, "mesh0") })
	return pid
}

// killOwner kills the data plane process of an interface of this host, and waits
// until the interface is gone.
func killOwner(t *testing.T, name string) {
	var pid int
	_, err := fmt.Sscan(ownerPID(t, name), &pid)
	require.NoError(t, err)
	require.NoError(t, unix.Kill(pid, unix.SIGKILL))
	require.Eventually(t, func() bool {
		_, err := netlink.LinkByName(name)
		return err != nil
	}, 5*time.Second, 10*time.Millisecond)
}

// ownerPID returns the pid of the process that listens on the control socket.
func ownerPID(t *testing.T, name string) string {
	conn, err := net.Dial("unix", "/var/run/wireguard/"+name+".sock")
	require.NoError(t, err)
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	require.NoError(t, err)
	var cred *unix.Ucred
	require.NoError(t, raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }))
	require.NoError(t, err)
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", cred.Pid))
	require.NoError(t, err)
	require.Contains(t, strings.ReplaceAll(string(cmdline), "\x00", " "), "--interface "+name)
	return fmt.Sprint(cred.Pid)
}

// hideTUN hides the TUN device from this mount namespace.
func hideTUN() error { return unix.Mount("tmpfs", "/dev/net", "tmpfs", 0, "") }

func addAddress(n *netlink.Handle, name, cidr string) error {
	link, err := n.LinkByName(name)
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	if addr.IP.To4() == nil {
		addr.Flags = unix.IFA_F_NODAD // a link has two hosts: there are no duplicates to detect
	}
	return errors.Join(n.AddrAdd(link, addr), n.LinkSetUp(link))
}

func removeAddress(n *netlink.Handle, name, cidr string) error {
	link, err := n.LinkByName(name)
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	return n.AddrDel(link, addr)
}

func addRoute(n *netlink.Handle, name, cidr string) error {
	link, err := n.LinkByName(name)
	if err != nil {
		return err
	}
	dst, err := netlink.ParseIPNet(cidr)
	if err != nil {
		return err
	}
	return n.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst})
}

func udp(s string) *net.UDPAddr { return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

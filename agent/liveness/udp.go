package liveness

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/agent/portowner"
)

// hopLimit is the TTL or hop limit that a received control packet must have
// (RFC 5881 section 5, RFC 5082). It shows that the packet crossed no router, so
// that its sender is the gateway and not a host in its network.
const hopLimit = 255

// UDP is the real Network.
type UDP struct{}

var _ Network = UDP{}

// Listen implements Network. It needs CAP_NET_RAW if a device is given.
func (UDP) Listen(ctx context.Context, local netip.AddrPort, device string) (PacketConn, error) {
	lc := net.ListenConfig{Control: control(func(fd int) error {
		return errors.Join(bindOptions(fd, local.Addr(), device), hopOptions(fd, local.Addr()), reuseAddress(fd))
	})}
	network := "udp6"
	if local.Addr().Is4() {
		network = "udp4"
	}
	c, err := lc.ListenPacket(ctx, network, local.String())
	if err != nil {
		if errors.Is(err, unix.EADDRINUSE) {
			err = &PortInUseError{Port: local.Port(), Owner: portowner.Of("udp", local.Port())}
		}
		return nil, explainListen(local.String(), device, err)
	}
	udp := c.(*net.UDPConn)
	raw, err := udp.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", local, err), udp.Close())
	}
	return &udpConn{UDPConn: udp, raw: raw, device: device}, nil
}

// ListenEcho implements Network. It needs CAP_NET_RAW.
func (UDP) ListenEcho(ctx context.Context, local netip.Addr, device string) (PacketConn, error) {
	lc := net.ListenConfig{Control: control(func(fd int) error {
		return errors.Join(bindOptions(fd, local, device), filterEchoReplies(fd, local))
	})}
	network := "ip6:ipv6-icmp"
	if local.Is4() {
		network = "ip4:icmp"
	}
	c, err := lc.ListenPacket(ctx, network, local.String())
	if err != nil {
		return nil, explainListen("ICMP of "+local.String(), device, err)
	}
	ip := c.(*net.IPConn)
	raw, err := ip.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for echoes: %w", err), ip.Close())
	}
	return &echoConn{IPConn: ip, raw: raw, is4: local.Is4()}, nil
}

// udpConn carries control packets.
type udpConn struct {
	*net.UDPConn
	raw    syscall.RawConn
	device string
}

// ReadFrom returns the next packet that arrived with the full hop limit.
func (c *udpConn) ReadFrom(b []byte) (int, netip.AddrPort, error) {
	oob := make([]byte, 128)
	for {
		n, oobn, _, from, err := c.ReadMsgUDPAddrPort(b, oob)
		if err != nil {
			return 0, netip.AddrPort{}, err
		}
		if receivedHops(oob[:oobn]) == hopLimit {
			return n, from, nil
		}
	}
}

// WriteTo sends without blocking, because Monitor sends the packets of all sessions
// in one goroutine: a data plane that hangs must not stop the others.
func (c *udpConn) WriteTo(b []byte, to netip.AddrPort) error { return sendNow(c.raw, b, to) }

// echoConn carries ICMP echoes.
type echoConn struct {
	*net.IPConn
	raw syscall.RawConn
	is4 bool
}

// The ICMP types of echoes (RFC 792, RFC 4443).
const (
	echoRequest4 = 8
	echoReply4   = 0
	echoRequest6 = 128
	echoReply6   = 129
)

// icmpHeader is the size in bytes of type, code, checksum, identifier and sequence
// number.
const icmpHeader = 8

// ReadFrom returns the payload of the next echo reply.
func (c *echoConn) ReadFrom(b []byte) (int, netip.AddrPort, error) {
	buf := make([]byte, maxPacket)
	for {
		n, from, err := c.ReadFromIP(buf)
		if err != nil {
			return 0, netip.AddrPort{}, err
		}
		addr, ok := netip.AddrFromSlice(from.IP)
		if ok && n >= icmpHeader && (c.is4 && buf[0] == echoReply4 || !c.is4 && buf[0] == echoReply6) {
			return copy(b, buf[icmpHeader:n]), netip.AddrPortFrom(addr.Unmap(), 0), nil
		}
	}
}

// WriteTo sends an echo request. Its identifier and sequence number are zero,
// because the payload identifies it.
func (c *echoConn) WriteTo(b []byte, to netip.AddrPort) error {
	packet := append(make([]byte, icmpHeader, icmpHeader+len(b)), b...)
	packet[0] = echoRequest6 // the kernel fills in the ICMPv6 checksum (RFC 3542 section 3.1)
	if c.is4 {
		packet[0] = echoRequest4
		binary.BigEndian.PutUint16(packet[2:], checksum(packet))
	}
	return sendNow(c.raw, packet, netip.AddrPortFrom(to.Addr(), 0))
}

// checksum returns the Internet checksum (RFC 1071).
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

func sendNow(raw syscall.RawConn, b []byte, to netip.AddrPort) error {
	var dst unix.Sockaddr = &unix.SockaddrInet6{Addr: to.Addr().As16(), Port: int(to.Port())}
	if to.Addr().Is4() {
		dst = &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}
	}
	var sendErr error
	err := raw.Control(func(fd uintptr) { sendErr = unix.Sendto(int(fd), b, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, dst) })
	if err = errors.Join(err, sendErr); err != nil {
		return fmt.Errorf("send to %s: %w", to, err)
	}
	return nil
}

// bindOptions allows the socket to be bound before its address exists, and binds it
// to one lane, because all lanes have the same address.
func bindOptions(fd int, local netip.Addr, device string) error {
	var err error
	if local.Is4() {
		err = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_FREEBIND, 1)
	} else {
		err = unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_FREEBIND, 1)
	}
	if device != "" {
		err = errors.Join(err, unix.BindToDevice(fd, device))
	}
	return err
}

// reuseAddress lets the socket share the port with those of routing daemons, which
// have it on all addresses, in whichever order they are bound: FRR's bfdd, which MetalLB
// runs too, sets the same. The kernel passes a packet to the most specific of them.
// Without it on both, the second one cannot be bound.
func reuseAddress(fd int) error {
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
}

// hopOptions sets the hop limit of sent packets, and enables the ancillary data with
// that of received packets.
func hopOptions(fd int, local netip.Addr) error {
	if local.Is4() {
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TTL, hopLimit),
			unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_RECVTTL, 1))
	}
	return errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_UNICAST_HOPS, hopLimit),
		unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVHOPLIMIT, 1))
}

func receivedHops(oob []byte) int {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return -1
	}
	for _, m := range messages {
		is4 := m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_TTL
		is6 := m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_HOPLIMIT
		if (is4 || is6) && len(m.Data) >= 4 {
			return int(binary.NativeEndian.Uint32(m.Data))
		}
	}
	return -1
}

// filterEchoReplies blocks all ICMP packets except for echo replies.
func filterEchoReplies(fd int, local netip.Addr) error {
	if local.Is4() {
		const icmpFilter = 1 // ICMP_FILTER of linux/icmp.h; a set bit blocks
		return unix.SetsockoptInt(fd, unix.SOL_RAW, icmpFilter, ^(1 << echoReply4))
	}
	var filter unix.ICMPv6Filter // RFC 3542 section 3.2; on Linux a set bit blocks
	for i := range filter.Data {
		filter.Data[i] = ^uint32(0)
	}
	filter.Data[echoReply6/32] &^= 1 << (echoReply6 % 32)
	return unix.SetsockoptICMPv6Filter(fd, unix.SOL_ICMPV6, unix.ICMPV6_FILTER, &filter)
}

func control(set func(fd int) error) func(network, address string, raw syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) error {
		var setErr error
		err := raw.Control(func(fd uintptr) { setErr = set(int(fd)) })
		return errors.Join(err, setErr)
	}
}

func explainListen(what, device string, err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("listen on %s: needs root or CAP_NET_RAW: %w", what, err)
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("listen on %s: no interface %s: %w", what, device, os.NewSyscallError("bind", unix.ENODEV))
	}
	return fmt.Errorf("listen on %s: %w", what, err)
}

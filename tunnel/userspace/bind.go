package userspace

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// socketBuffer is the size in bytes of the buffers of a socket.
const socketBuffer = 7 << 20

// bind is the underlay of a data plane process: one UDP socket for each address
// family. It differs from wireguard-go's own in two points:
//
//   - A batch that the kernel refuses to segment is sent again datagram by
//     datagram. The kernel refuses it if a segment exceeds the MTU of the path,
//     which may become smaller at any time.
//   - A source address is used only while the kernel would choose its device for
//     the destination, for both families. wireguard-go checks that for its own
//     bind only, after changes of IPv4 routes.
//
// IPv4 datagrams may be fragmented on the path, as those of Linux's WireGuard,
// so that a path narrower than the tunnel loses no packet: a socket that forbids
// it (IP_PMTUDISC_WANT, the default) loses all large ones where ICMP errors are
// filtered. IPv6 datagrams are fragmented by this host to the MTU that ICMPv6
// reports, which is the kernel's default.
type bind struct {
	sources *sources

	mu sync.Mutex // guards all following fields
	v4 *socket    // nil: closed, or the host lacks the family
	v6 *socket
}

var _ conn.Bind = (*bind)(nil)

func newBind() *bind { return &bind{sources: &sources{}} }

// Open implements conn.Bind. Both sockets have the same port.
func (b *bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.v4 != nil || b.v6 != nil {
		return nil, 0, conn.ErrBindAlreadyOpen
	}
	const tries = 100 // the port that the kernel chooses for IPv4 may be in use for IPv6
	var err error
	for range tries {
		b.v4, b.v6, err = openSockets(port)
		if port != 0 || !errors.Is(err, unix.EADDRINUSE) {
			break
		}
	}
	if err != nil {
		return nil, 0, err
	}
	if err := b.sources.watch(); err != nil {
		return nil, 0, errors.Join(err, b.close())
	}
	var receive []conn.ReceiveFunc
	for _, s := range []*socket{b.v4, b.v6} {
		if s != nil {
			receive = append(receive, (&receiver{socket: s}).receive)
			port = s.port
		}
	}
	return receive, port, nil
}

// openSockets opens one socket for each family that the host has.
func openSockets(port uint16) (v4, v6 *socket, err error) {
	v4, err = openSocket("udp4", port)
	if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, nil, err
	}
	if v4 != nil {
		port = v4.port
	}
	v6, err = openSocket("udp6", port)
	if err != nil && (v4 == nil || !errors.Is(err, unix.EAFNOSUPPORT)) {
		if v4 != nil {
			err = errors.Join(err, v4.Close())
		}
		return nil, nil, err
	}
	return v4, v6, nil
}

// Close implements conn.Bind.
func (b *bind) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.close()
}

func (b *bind) close() error {
	b.sources.stop()
	var errs []error
	for _, s := range []*socket{b.v4, b.v6} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	b.v4, b.v6 = nil, nil
	return errors.Join(errs...)
}

// SetMark implements conn.Bind.
func (b *bind) SetMark(mark uint32) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sources.mark.Store(mark)
	for _, s := range []*socket{b.v4, b.v6} {
		if s == nil {
			continue
		}
		if err := s.set(func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark)) }); err != nil {
			return fmt.Errorf("set mark of the UDP socket: %w", err)
		}
	}
	return nil
}

// ParseEndpoint implements conn.Bind.
func (*bind) ParseEndpoint(text string) (conn.Endpoint, error) {
	destination, err := netip.ParseAddrPort(text)
	if err != nil {
		return nil, err
	}
	return &endpoint{destination: destination}, nil
}

// BatchSize implements conn.Bind.
func (*bind) BatchSize() int { return conn.IdealBatchSize }

// socket is the UDP socket of one family.
type socket struct {
	*net.UDPConn
	batch  batchConn
	port   uint16
	is6    bool
	gro    bool // the kernel may coalesce received datagrams
	sender sender
}

// batchConn sends and receives several messages with one system call. The types
// Message of both families are the same.
type batchConn interface {
	ReadBatch(messages []ipv6.Message, flags int) (int, error)
	WriteBatch(messages []ipv6.Message, flags int) (int, error)
}

func openSocket(network string, port uint16) (*socket, error) {
	is6 := network == "udp6"
	listen := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return control(raw, func(fd int) error { return socketOptions(fd, is6) })
	}}
	c, err := listen.ListenPacket(context.Background(), network, ":"+strconv.Itoa(int(port)))
	if err != nil {
		return nil, err
	}
	s := &socket{UDPConn: c.(*net.UDPConn), is6: is6}
	s.port = s.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	s.batch = ipv4.NewPacketConn(s.UDPConn)
	if is6 {
		s.batch = ipv6.NewPacketConn(s.UDPConn)
	}
	gso := false
	err = s.set(func(fd int) error {
		_, failed := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		gso = failed == nil
		// Kernels before 5.12 cannot report it, and have faults in it.
		if _, failed = unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO); failed == nil {
			s.gro = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1) == nil
		}
		return nil
	})
	s.sender.batch = s.batch
	s.sender.noGSO.Store(!gso)
	return s, err
}

func socketOptions(fd int, is6 bool) error {
	// Larger buffers than the host's limit need CAP_NET_ADMIN, and only make
	// fast links faster: a failure is no error.
	for _, option := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF, unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, socketBuffer)
	}
	if is6 {
		return errors.Join(
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1),
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1))
	}
	return errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1))
}

func (s *socket) set(option func(fd int) error) error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	return control(raw, option)
}

func control(raw syscall.RawConn, option func(fd int) error) error {
	var failed error
	err := raw.Control(func(fd uintptr) { failed = option(int(fd)) })
	return errors.Join(err, failed)
}

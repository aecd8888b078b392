package sockets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/portowner"
)

// bindTimeout is how long Listen retries while the port is in use: a process that
// meshd starts holds copies of all its sockets until exec, also of closed ones.
const bindTimeout = 500 * time.Millisecond

// maxSegment is the TCP payload of a packet of 1280 bytes, the smallest MTU of
// IPv6 (RFC 8200 section 5), which every path and every tunnel carries. Gateways
// can thus join, and the catalog works, before the MTU of a path is known and where
// ICMP errors are filtered; none of them sends much.
const maxSegment = 1280 - 40 - 20

// Sockets opens sockets of this host.
type Sockets struct {
	Mark    uint32              // SO_MARK of underlay sockets; 0: none
	Overlay func() netip.Prefix // of the federation; nil, or a zero prefix: no overlay

	bindTimeout time.Duration // replaces the constant in tests; 0: the constant
	local       bool          // Dial connects to this host, too, in tests
}

var _ control.Sockets = (*Sockets)(nil)

// Listen binds to at. If a port of the underlay is in use, the error names the
// process that listens on it, if it can be found.
//
// Both listeners set SO_REUSEPORT; without it, the overlay listener cannot bind
// beside one on the unspecified address. The kernel passes a connection to the
// more specific of the two. SO_REUSEPORT would also let a second meshd bind and
// receive half of the connections, so Listen first tries the port without it.
func (s *Sockets) Listen(ctx context.Context, at netip.AddrPort, path control.Path) (net.Listener, error) {
	if path == control.Overlay {
		return listen(ctx, at, s.overlayOptions)
	}
	var l net.Listener
	err := s.retryInUse(ctx, func() error { return probe(ctx, at) })
	if err == nil {
		err = s.retryInUse(ctx, func() (err error) {
			l, err = listen(ctx, at, s.underlayOptions)
			return err
		})
	}
	return l, err
}

// retryInUse calls bind until it returns another error than EADDRINUSE, at most for
// bindTimeout.
func (s *Sockets) retryInUse(ctx context.Context, bind func() error) error {
	const retry = 10 * time.Millisecond
	for end := time.Now().Add(cmp.Or(s.bindTimeout, bindTimeout)); ; {
		err := bind()
		if !errors.Is(err, unix.EADDRINUSE) || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retry):
		}
	}
}

// Dial connects to host:port. It sets the mark unless the resolved address is in
// the overlay. Another gateway chooses the address: those of this host or of its links are
// refused, where services are that trust what connects to them.
func (s *Sockets) Dial(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{ControlContext: func(_ context.Context, _, address string, raw syscall.RawConn) error {
		if err := checkTarget(address); err != nil && !s.local {
			return err
		}
		return onSocket(raw, func(fd int) error { return errors.Join(s.markDialled(fd, address), limitSegments(fd)) })
	}}
	return dialer.DialContext(ctx, "tcp", address)
}

// checkTarget refuses a resolved address that is not one of another host's.
func checkTarget(address string) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	if a := target.Addr().Unmap(); a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
		return fmt.Errorf("%s is no address of another host: set control.advertise on that gateway", a)
	}
	return nil
}

// markDialled sets the mark of a socket that connects to ip:port, unless ip is in
// the overlay.
func (s *Sockets) markDialled(fd int, address string) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("mark socket: %w", err)
	}
	if s.Overlay != nil && s.Overlay().Contains(target.Addr().Unmap()) {
		return nil
	}
	return s.mark(fd)
}

func (s *Sockets) mark(fd int) error {
	if s.Mark == 0 {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(s.Mark)); err != nil {
		return fmt.Errorf("set SO_MARK: %w; run meshd as root or with CAP_NET_ADMIN", err)
	}
	return nil
}

func (s *Sockets) underlayOptions(fd int, _ string) error {
	return errors.Join(s.mark(fd), reusePort(fd), limitSegments(fd))
}

// overlayOptions permits binding to an address before an interface has it.
func (s *Sockets) overlayOptions(fd int, network string) error {
	return errors.Join(freeBind(fd, network), reusePort(fd), limitSegments(fd))
}

// limitSegments limits the segments of both directions. Accepted sockets inherit
// it.
func limitSegments(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_MAXSEG, maxSegment); err != nil {
		return fmt.Errorf("set TCP_MAXSEG: %w", err)
	}
	return nil
}

func reusePort(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return fmt.Errorf("set SO_REUSEPORT: %w", err)
	}
	return nil
}

func freeBind(fd int, network string) error {
	level, option := unix.SOL_IP, unix.IP_FREEBIND
	if network == "tcp6" {
		level, option = unix.SOL_IPV6, unix.IPV6_FREEBIND
	}
	if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
		return fmt.Errorf("set IP_FREEBIND: %w", err)
	}
	return nil
}

// probe returns an error with a remedy if the port cannot be bound.
func probe(ctx context.Context, at netip.AddrPort) error {
	l, err := listen(ctx, at, nil)
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return inUse(at, err)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("%w; set control.listen to an address of this host", err)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w; run meshd as root or set control.listen to a port from 1024 on", err)
	case err != nil:
		return err
	}
	return l.Close()
}

func inUse(at netip.AddrPort, err error) error {
	return fmt.Errorf("port %d is in use by %s; stop it or set control.listen to another port: %w", at.Port(), portowner.Of("tcp", at.Port()), err)
}

// listen binds a TCP socket. options, which may be nil, sets its options first.
func listen(ctx context.Context, at netip.AddrPort, options func(fd int, network string) error) (net.Listener, error) {
	var cfg net.ListenConfig
	if options != nil {
		cfg.Control = func(network, _ string, raw syscall.RawConn) error {
			return onSocket(raw, func(fd int) error { return options(fd, network) })
		}
	}
	return cfg.Listen(ctx, "tcp", at.String())
}

// onSocket calls do with the file descriptor of a socket.
func onSocket(raw syscall.RawConn, do func(fd int) error) error {
	var err error
	if outer := raw.Control(func(fd uintptr) { err = do(int(fd)) }); outer != nil {
		return outer
	}
	return err
}

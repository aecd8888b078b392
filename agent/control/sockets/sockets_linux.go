package sockets

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/agent/control"
)

// Sockets opens sockets of this host.
type Sockets struct {
	Mark    uint32              // SO_MARK of underlay sockets; 0: none
	Overlay func() netip.Prefix // of the federation; zero: none known; nil: none
}

var _ control.Sockets = (*Sockets)(nil)

// Listen binds to at. A port of the underlay that is in use is an error that names
// the owner if it can be found.
//
// Both listeners set SO_REUSEPORT, without which the second one cannot bind beside
// a first one on the unspecified address. The kernel gives a connection to
// the more specific of the two. Since SO_REUSEPORT would also let a second meshd
// bind, and take half of the connections, the port is tried without it first.
func (s *Sockets) Listen(ctx context.Context, at netip.AddrPort, path control.Path) (net.Listener, error) {
	if path == control.Overlay {
		return listen(ctx, at, s.overlayOptions)
	}
	var l net.Listener
	err := settled(ctx, func() error { return probe(ctx, at) })
	if err == nil {
		err = settled(ctx, func() (err error) {
			l, err = listen(ctx, at, s.underlayOptions)
			return err
		})
	}
	return l, err
}

// settled tries again for a moment while the port is in use: a process that is
// just being started by this one holds copies of our sockets until its exec,
// also of those that are closed here.
func settled(ctx context.Context, bind func() error) error {
	const moment, pause = 500 * time.Millisecond, 10 * time.Millisecond
	for end := time.Now().Add(moment); ; {
		err := bind()
		if !errors.Is(err, unix.EADDRINUSE) || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// Dial connects to host:port, with the mark if the address that the host
// resolves to is not in the overlay.
func (s *Sockets) Dial(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{ControlContext: func(_ context.Context, _, address string, raw syscall.RawConn) error {
		return onSocket(raw, func(fd int) error { return s.markDialled(fd, address) })
	}}
	return dialer.DialContext(ctx, "tcp", address)
}

// markDialled marks a socket that is about to connect to ip:port.
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
		return fmt.Errorf("set SO_MARK: %w; meshd needs CAP_NET_ADMIN: run it as root", err)
	}
	return nil
}

func (s *Sockets) underlayOptions(fd int, _ string) error {
	return errors.Join(s.mark(fd), reusePort(fd))
}

// overlayOptions let the address be bound before the interface has it.
func (s *Sockets) overlayOptions(fd int, network string) error {
	return errors.Join(freeBind(fd, network), reusePort(fd))
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

// probe finds out whether somebody else has the port.
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
	owner := "another process"
	if found, ok := portOwner("/proc", at.Port()); ok {
		owner = found.String()
	}
	return fmt.Errorf("port %d is in use by %s; stop it or set control.listen to another port: %w", at.Port(), owner, err)
}

// listen binds a TCP socket; options may be nil.
func listen(ctx context.Context, at netip.AddrPort, options func(fd int, network string) error) (net.Listener, error) {
	var config net.ListenConfig
	if options != nil {
		config.Control = func(network, _ string, raw syscall.RawConn) error {
			return onSocket(raw, func(fd int) error { return options(fd, network) })
		}
	}
	return config.Listen(ctx, "tcp", at.String())
}

// onSocket runs do on the file descriptor of a socket.
func onSocket(raw syscall.RawConn, do func(fd int) error) error {
	var err error
	if outer := raw.Control(func(fd uintptr) { err = do(int(fd)) }); outer != nil {
		return outer
	}
	return err
}

package controltest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/consensus/consensustest/memnet"
)

// Host is a host of a Fabric.
type Host struct {
	fabric   *Fabric
	name     string
	underlay []netip.Addr // guarded by fabric.mu
	overlay  netip.Addr   // guarded by fabric.mu

	mu        sync.Mutex // guards all following fields
	listeners map[netip.AddrPort]*listener
	open      map[*memnet.Conn]bool
	nextPort  uint16
}

var _ control.Sockets = (*Host)(nil)

// Name returns the host's name.
func (h *Host) Name() string { return h.name }

// SetUnderlay replaces the underlay addresses of the host.
func (h *Host) SetUnderlay(addresses ...string) {
	h.fabric.mu.Lock()
	h.underlay, h.fabric.last = nil, nil
	for _, address := range addresses {
		h.underlay = append(h.underlay, netip.MustParseAddr(address))
	}
	h.fabric.mu.Unlock()
	h.fabric.links.Notify()
}

// SetOverlay sets the overlay address of the host.
func (h *Host) SetOverlay(addr netip.Addr) {
	h.fabric.mu.Lock()
	h.overlay = addr
	h.fabric.mu.Unlock()
	h.fabric.links.Notify()
}

// Crash closes all listeners and connections of the host, as the end of its process
// does: peers receive a reset. The host can be used again afterwards.
func (h *Host) Crash() {
	h.mu.Lock()
	listeners, open := h.listeners, h.open
	h.listeners, h.open = make(map[netip.AddrPort]*listener), nil
	h.mu.Unlock()
	for _, l := range listeners {
		l.finish()
	}
	for c := range open {
		c.Reset()
	}
}

// Listen implements control.Sockets. As on a real host, the unspecified address
// includes all addresses of the host.
func (h *Host) Listen(_ context.Context, at netip.AddrPort, path control.Path) (net.Listener, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if at.Port() == 0 {
		h.nextPort++
		at = netip.AddrPortFrom(at.Addr(), h.nextPort)
	}
	if _, taken := h.listeners[at]; taken {
		return nil, fmt.Errorf("listen on %s of %s: %w", at, h.name, syscall.EADDRINUSE)
	}
	l := &listener{host: h, at: at, path: path, conns: make(chan net.Conn), done: make(chan struct{})}
	h.listeners[at] = l
	return l, nil
}

// Dial implements control.Sockets; address is ip:port.
func (h *Host) Dial(ctx context.Context, address string) (net.Conn, error) {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial from %s: %w", h.name, err)
	}
	c, err := h.fabric.connect(ctx, h, target)
	if err != nil {
		return nil, fmt.Errorf("dial %s from %s: %w", target, h.name, err)
	}
	return c, nil
}

// source returns the local address of a new connection.
func (h *Host) source(path control.Path) (netip.AddrPort, error) {
	h.fabric.mu.Lock()
	addr := h.overlay
	if path == control.Underlay {
		addr = netip.Addr{}
		if len(h.underlay) > 0 {
			addr = h.underlay[0]
		}
	}
	h.fabric.mu.Unlock()
	if !addr.IsValid() {
		return netip.AddrPort{}, syscall.ENETUNREACH
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.nextPort++
	return netip.AddrPortFrom(addr, h.nextPort), nil
}

// listening returns the listener for a target. One that is bound to the address
// itself takes precedence over one that is bound to all.
func (h *Host) listening(target netip.AddrPort) (*listener, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, addr := range []netip.Addr{target.Addr(), netip.IPv6Unspecified(), netip.IPv4Unspecified()} {
		if l, ok := h.listeners[netip.AddrPortFrom(addr, target.Port())]; ok {
			return l, true
		}
	}
	return nil, false
}

func (h *Host) track(c *memnet.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open == nil {
		h.open = make(map[*memnet.Conn]bool)
	}
	h.open[c] = true
	c.OnClose = func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.open, c)
	}
}

// listener is a listening socket.
type listener struct {
	host  *Host
	at    netip.AddrPort
	path  control.Path
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// offer passes a connection to Accept.
func (l *listener) offer(ctx context.Context, c net.Conn) error {
	select {
	case l.conns <- c:
		return nil
	case <-l.done:
		return syscall.ECONNREFUSED
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.host.mu.Lock()
	if l.host.listeners[l.at] == l {
		delete(l.host.listeners, l.at)
	}
	l.host.mu.Unlock()
	l.finish()
	return nil
}

func (l *listener) finish() { l.once.Do(func() { close(l.done) }) }

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }

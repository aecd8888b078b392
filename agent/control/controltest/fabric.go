package controltest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"github.com/meshway/meshway/agent/control"
)

// Fabric is a network of hosts.
type Fabric struct {
	mu      sync.Mutex // guards all following fields
	hosts   map[string]*Host
	cut     map[link]bool
	overlay func(from, to string) bool
	changed chan struct{} // closed at the next change of a link or a host
}

// link is one direction between two hosts on one path.
type link struct {
	from, to string
	path     control.Path
}

// New returns a network without hosts.
func New() *Fabric {
	return &Fabric{hosts: make(map[string]*Host), cut: make(map[link]bool), changed: make(chan struct{})}
}

// Host adds a host with its underlay addresses.
func (f *Fabric) Host(name string, addresses ...string) *Host {
	h := &Host{fabric: f, name: name, listeners: make(map[netip.AddrPort]*listener), nextPort: 32768}
	for _, address := range addresses {
		h.underlay = append(h.underlay, netip.MustParseAddr(address))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hosts[name] = h
	return h
}

// Cut stops all packets between two hosts in both directions, without an error at
// either end. Data in flight arrives after Heal.
func (f *Fabric) Cut(a, b string) { f.setCut(a, b, true) }

// Heal undoes Cut.
func (f *Fabric) Heal(a, b string) { f.setCut(a, b, false) }

// Isolate cuts a host off from all others. Rejoin undoes it.
func (f *Fabric) Isolate(name string) {
	for _, other := range f.others(name) {
		f.Cut(name, other)
	}
}

// Rejoin undoes Isolate.
func (f *Fabric) Rejoin(name string) {
	for _, other := range f.others(name) {
		f.Heal(name, other)
	}
}

// SetOverlay sets the function that reports whether a host reaches another over the
// overlay. If it is nil, hosts do so if they reach each other over the underlay. The
// function is called concurrently and must not call the Fabric. Call Changed when
// its results change.
func (f *Fabric) SetOverlay(reachable func(from, to string) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.overlay = reachable
	f.notify()
}

// Changed makes the network call the function of SetOverlay again.
func (f *Fabric) Changed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notify()
}

func (f *Fabric) others(name string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for other := range f.hosts {
		if other != name {
			names = append(names, other)
		}
	}
	slices.Sort(names)
	return names
}

func (f *Fabric) setCut(a, b string, cut bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, path := range []control.Path{control.Underlay, control.Overlay} {
		f.cut[link{a, b, path}] = cut
		f.cut[link{b, a, path}] = cut
	}
	f.notify()
}

// notify wakes all waiters for a change of the network. The caller holds f.mu.
func (f *Fabric) notify() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// passes reports whether a link passes packets now, and returns a channel that is
// closed when that may change.
func (f *Fabric) passes(l link) (ok bool, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cut[l] {
		return false, f.changed
	}
	if l.path == control.Overlay && f.overlay != nil && l.from != l.to {
		return f.overlay(l.from, l.to), f.changed
	}
	return true, f.changed
}

// find returns the host of an address and the path to it.
func (f *Fabric) find(addr netip.Addr) (*Host, control.Path, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.hosts {
		if slices.Contains(h.underlay, addr) {
			return h, control.Underlay, true
		}
		if h.overlay.IsValid() && h.overlay == addr {
			return h, control.Overlay, true
		}
	}
	return nil, 0, false
}

// connect opens a connection. As with TCP, it waits while the link is cut.
func (f *Fabric) connect(ctx context.Context, from *Host, target netip.AddrPort) (net.Conn, error) {
	to, path, ok := f.find(target.Addr())
	if !ok {
		return nil, syscall.EHOSTUNREACH
	}
	there, back := link{from.name, to.name, path}, link{to.name, from.name, path}
	for _, l := range []link{there, back} {
		if err := f.await(ctx, l); err != nil {
			return nil, err
		}
	}
	source, err := from.source(path)
	if err != nil {
		return nil, err
	}
	l, ok := to.listening(target)
	if !ok {
		return nil, syscall.ECONNREFUSED
	}
	near, far := f.pair(there, back, source, target)
	from.track(near)
	to.track(far)
	if err := l.offer(ctx, far); err != nil {
		return nil, errors.Join(err, near.Close(), far.Close())
	}
	return near, nil
}

func (f *Fabric) await(ctx context.Context, l link) error {
	for {
		ok, changed := f.passes(l)
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("connect: %w", ctx.Err())
		}
	}
}

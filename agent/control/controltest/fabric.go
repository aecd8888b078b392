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
	"time"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/consensus/consensustest/memnet"
)

// Fabric is a network of hosts.
type Fabric struct {
	links *memnet.Links[string] // between hosts, by name

	mu      sync.Mutex // guards all following fields
	hosts   map[string]*Host
	last    *Host // that was found
	overlay func(from, to string) bool
}

// link is one direction between two hosts on one path.
type link struct {
	memnet.Link
	fabric   *Fabric
	from, to string
	path     control.Path
}

// New returns a network without hosts.
func New() *Fabric {
	return &Fabric{links: memnet.NewLinks[string](), hosts: make(map[string]*Host)}
}

// Host adds a host with its underlay addresses.
func (f *Fabric) Host(name string, addresses ...string) *Host {
	h := &Host{fabric: f, name: name, listeners: make(map[netip.AddrPort]*listener), nextPort: 32768}
	for _, address := range addresses {
		h.underlay = append(h.underlay, netip.MustParseAddr(address))
	}
	f.links.Add(name)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last == f.hosts[name] {
		f.last = nil
	}
	f.hosts[name] = h
	return h
}

// Cut stops all packets between two hosts in both directions, without an error at
// either end. Data in flight arrives after Heal.
func (f *Fabric) Cut(a, b string) {
	f.links.Cut(a, b)
	f.links.Cut(b, a)
}

// Heal undoes Cut.
func (f *Fabric) Heal(a, b string) {
	f.links.Restore(a, b)
	f.links.Restore(b, a)
}

// Isolate cuts a host off from all others. Rejoin undoes it.
func (f *Fabric) Isolate(name string) { f.links.Isolate(name) }

// Rejoin undoes Isolate.
func (f *Fabric) Rejoin(name string) { f.links.Rejoin(name) }

// SetOverlay sets the function that reports whether a host reaches another over the
// overlay. If it is nil, hosts do so if they reach each other over the underlay. The
// function is called concurrently and must not call the Fabric. Call Changed when
// its results change.
func (f *Fabric) SetOverlay(reachable func(from, to string) bool) {
	f.mu.Lock()
	f.overlay = reachable
	f.mu.Unlock()
	f.links.Notify()
}

// Changed makes the network call the function of SetOverlay again.
func (f *Fabric) Changed() { f.links.Notify() }

func (f *Fabric) link(from, to string, path control.Path) link {
	return link{Link: f.links.Link(from, to), fabric: f, from: from, to: to, path: path}
}

// State implements memnet.Link.
func (l link) State() (whole bool, delay time.Duration, changed <-chan struct{}) {
	whole, delay, changed = l.Link.State()
	if whole && l.path == control.Overlay && l.from != l.to {
		l.fabric.mu.Lock()
		reachable := l.fabric.overlay
		l.fabric.mu.Unlock()
		whole = reachable == nil || reachable(l.from, l.to)
	}
	return whole, delay, changed
}

// find returns the host of an address and the path to it.
func (f *Fabric) find(addr netip.Addr) (*Host, control.Path, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last != nil && slices.Contains(f.last.underlay, addr) { // thousands of hosts often dial one
		return f.last, control.Underlay, true
	}
	for _, h := range f.hosts {
		if path, ok := h.at(addr); ok {
			f.last = h
			return h, path, true
		}
	}
	return nil, 0, false
}

// at returns the path on which the host has an address; fabric.mu is held.
func (h *Host) at(addr netip.Addr) (control.Path, bool) {
	if slices.Contains(h.underlay, addr) {
		return control.Underlay, true
	}
	return control.Overlay, h.overlay.IsValid() && h.overlay == addr
}

// connect opens a connection. As with TCP, it waits while the link is cut.
func (f *Fabric) connect(ctx context.Context, from *Host, target netip.AddrPort) (net.Conn, error) {
	to, path, ok := f.find(target.Addr())
	if !ok {
		return nil, syscall.EHOSTUNREACH
	}
	there, back := f.link(from.name, to.name, path), f.link(to.name, from.name, path)
	for _, l := range []link{there, back} {
		if err := memnet.Travel(ctx, l); err != nil {
			return nil, fmt.Errorf("connect: %w", err)
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
	near, far := memnet.Pipe(there, back, net.TCPAddrFromAddrPort(source), net.TCPAddrFromAddrPort(target))
	from.track(near)
	to.track(far)
	if err := l.offer(ctx, far); err != nil {
		return nil, errors.Join(err, near.Close(), far.Close())
	}
	return near, nil
}

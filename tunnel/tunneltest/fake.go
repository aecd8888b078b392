package tunneltest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/meshway/meshway/tunnel"
)

// The operations of a Device, for Fake.Calls and Fake.Fail.
const (
	OpList      = "list"
	OpCreate    = "create"
	OpConfigure = "configure"
	OpRemove    = "remove"
)

// Fake is a data plane in memory. It refuses what a real one refuses or silently
// ignores: an empty change, adding a peer twice, removing a prefix that does not
// exist, two interfaces on one port.
type Fake struct {
	mu      sync.Mutex // guards all following fields
	kind    string
	ifaces  map[string]*tunnel.Observed
	foreign map[string]bool
	calls   map[string]int
	fail    func(op, name string) error
	index   int
}

var _ tunnel.Device = (*Fake)(nil)

// NewFake returns a data plane without interfaces.
func NewFake() *Fake {
	return &Fake{
		kind:    "kernel",
		ifaces:  map[string]*tunnel.Observed{},
		foreign: map[string]bool{},
		calls:   map[string]int{},
	}
}

// Calls returns the number of calls of an operation.
func (f *Fake) Calls(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

// Fail calls decide before every operation, which fails with the error that
// decide returns. A nil decide ends this. A failing Configure sets only the key
// and the port, like a real one that fails halfway.
func (f *Fake) Fail(decide func(op, name string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = decide
}

// AddForeign adds a foreign interface to the host.
func (f *Fake) AddForeign(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.foreign[name] = true
}

// Disappear removes an interface, as another program on the host would.
func (f *Fake) Disappear(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.ifaces, name)
}

// Break makes an interface unreadable with err; nil makes it readable again.
func (f *Fake) Break(name string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o := f.ifaces[name]; o != nil {
		o.Err = err
	}
}

// Handshake simulates an authenticated handshake of a peer from an endpoint.
// The peer's received bytes grow by bytes.
func (f *Fake) Handshake(name string, key tunnel.PublicKey, from netip.AddrPort, at time.Time, bytes uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o := f.ifaces[name]; o != nil {
		if i := findPeer(o, key); i >= 0 {
			p := &o.Peers[i]
			p.Endpoint, p.LastHandshake, p.ReceivedBytes = from, at, p.ReceivedBytes+bytes
		}
	}
}

// Peer returns the peer with a public key, false if no interface has it. Unlike
// List it copies nothing else: a simulation calls it for each packet.
func (f *Fake) Peer(key tunnel.PublicKey) (tunnel.Peer, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.ifaces {
		if i := findPeer(o, key); i >= 0 {
			return o.Peers[i].Peer, true
		}
	}
	return tunnel.Peer{}, false
}

// HasAddress reports whether an interface has the address.
func (f *Fake) HasAddress(address netip.Addr) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.ifaces {
		if slices.ContainsFunc(o.Addresses, func(p netip.Prefix) bool { return p.Addr() == address }) {
			return true
		}
	}
	return false
}

// List implements tunnel.Device.
func (f *Fake) List(ctx context.Context) ([]tunnel.Observed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.enter(ctx, OpList, ""); err != nil {
		return nil, err
	}
	var out []tunnel.Observed
	for _, o := range f.ifaces {
		if o.Err != nil {
			broken := tunnel.Observed{Index: o.Index, Dataplane: o.Dataplane, Err: o.Err}
			broken.Name, broken.Lane = o.Name, o.Lane
			out = append(out, broken)
			continue
		}
		out = append(out, clone(*o))
	}
	slices.SortFunc(out, func(a, b tunnel.Observed) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Create implements tunnel.Device.
func (f *Fake) Create(ctx context.Context, name string, mtu int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.enter(ctx, OpCreate, name); err != nil {
		return err
	}
	if f.foreign[name] {
		return fmt.Errorf("interface %s exists and was not created by Meshway", name)
	}
	if f.ifaces[name] != nil {
		return nil
	}
	f.index++
	if mtu == 0 {
		mtu = 1420
	}
	o := &tunnel.Observed{Config: tunnel.Config{Name: name, MTU: mtu}, Index: f.index, Dataplane: f.kind}
	_, _ = fmt.Sscanf(strings.TrimLeft(name, "abcdefghijklmnopqrstuvwxyz-"), "%d", &o.Lane)
	f.ifaces[name] = o
	return nil
}

// Configure implements tunnel.Device.
func (f *Fake) Configure(ctx context.Context, c tunnel.Change) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.ifaces[c.Name]
	if o == nil {
		return fmt.Errorf("interface %s does not exist", c.Name)
	}
	if c.Empty() {
		return errors.New("empty change")
	}
	failure := f.enter(ctx, OpConfigure, c.Name)
	if err := f.configureInterface(o, c); err != nil {
		return err
	}
	if failure != nil {
		return failure
	}
	next := clone(*o)
	if err := errors.Join(configurePeers(&next, c), configureAddresses(&next, c)); err != nil {
		return err
	}
	if c.MTU != 0 {
		next.MTU = c.MTU
	}
	next.Up = next.Up || c.Up
	*o = next
	return nil
}

// Remove implements tunnel.Device.
func (f *Fake) Remove(ctx context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.enter(ctx, OpRemove, name); err != nil {
		return err
	}
	if f.foreign[name] {
		return fmt.Errorf("interface %s was not created by Meshway", name)
	}
	delete(f.ifaces, name)
	return nil
}

func (f *Fake) enter(ctx context.Context, op, name string) error {
	f.calls[op]++
	if err := ctx.Err(); err != nil {
		return err
	}
	if f.fail != nil {
		return f.fail(op, name)
	}
	return nil
}

func (f *Fake) configureInterface(o *tunnel.Observed, c tunnel.Change) error {
	if c.PrivateKey != nil {
		o.PublicKey = c.PrivateKey.Public()
	}
	if c.ListenPort != nil {
		for _, other := range f.ifaces {
			if other != o && other.ListenPort == *c.ListenPort {
				return fmt.Errorf("port %d is in use by %s", *c.ListenPort, other.Name)
			}
		}
		o.ListenPort = *c.ListenPort
	}
	if c.Mark != nil {
		o.Mark = *c.Mark
	}
	return nil
}

func configurePeers(o *tunnel.Observed, c tunnel.Change) error {
	for _, pc := range c.Peers {
		i := findPeer(o, pc.PublicKey)
		if pc.Renew && i >= 0 {
			o.Peers = slices.Delete(o.Peers, i, i+1)
			i = -1
		}
		switch {
		case pc.Add && i >= 0:
			return fmt.Errorf("peer %s exists", pc.PublicKey)
		case !pc.Add && i < 0:
			return fmt.Errorf("peer %s does not exist", pc.PublicKey)
		case pc.Add:
			i = len(o.Peers)
			o.Peers = append(o.Peers, tunnel.ObservedPeer{Peer: tunnel.Peer{PublicKey: pc.PublicKey}})
		}
		configurePeer(o, i, pc)
	}
	for _, pc := range c.Peers {
		p := &o.Peers[findPeer(o, pc.PublicKey)]
		for _, ip := range pc.RemoveAllowedIPs {
			i := slices.Index(p.AllowedIPs, ip)
			if i < 0 {
				return fmt.Errorf("peer %s does not have %s", p.PublicKey, ip)
			}
			p.AllowedIPs = slices.Delete(p.AllowedIPs, i, i+1)
		}
	}
	for _, key := range c.RemovePeers {
		i := findPeer(o, key)
		if i < 0 {
			return fmt.Errorf("peer %s does not exist", key)
		}
		o.Peers = slices.Delete(o.Peers, i, i+1)
	}
	slices.SortFunc(o.Peers, func(a, b tunnel.ObservedPeer) int { return a.PublicKey.Compare(b.PublicKey) })
	return nil
}

func configurePeer(o *tunnel.Observed, i int, pc tunnel.PeerChange) {
	if pc.Endpoint.IsValid() {
		o.Peers[i].Endpoint = pc.Endpoint
	}
	if pc.Keepalive != nil {
		o.Peers[i].Keepalive = *pc.Keepalive
	}
	added := make(map[netip.Prefix]bool, len(pc.AddAllowedIPs))
	for _, ip := range pc.AddAllowedIPs {
		added[ip] = true
	}
	for j := range o.Peers { // cryptokey routing: a prefix belongs to one peer
		o.Peers[j].AllowedIPs = slices.DeleteFunc(o.Peers[j].AllowedIPs, func(p netip.Prefix) bool { return added[p] })
	}
	for ip := range added {
		o.Peers[i].AllowedIPs = append(o.Peers[i].AllowedIPs, ip)
	}
	slices.SortFunc(o.Peers[i].AllowedIPs, netip.Prefix.Compare)
}

func configureAddresses(o *tunnel.Observed, c tunnel.Change) error {
	for _, a := range c.AddAddresses {
		if slices.Contains(o.Addresses, a) {
			return fmt.Errorf("address %s exists", a)
		}
		o.Addresses = append(o.Addresses, a)
	}
	for _, a := range c.RemoveAddresses {
		i := slices.Index(o.Addresses, a)
		if i < 0 {
			return fmt.Errorf("address %s does not exist", a)
		}
		o.Addresses = slices.Delete(o.Addresses, i, i+1)
	}
	slices.SortFunc(o.Addresses, netip.Prefix.Compare)
	return nil
}

func findPeer(o *tunnel.Observed, key tunnel.PublicKey) int {
	return slices.IndexFunc(o.Peers, func(p tunnel.ObservedPeer) bool { return p.PublicKey == key })
}

// clone returns a deep copy. Empty slices become nil, so that equal observations
// compare equal.
func clone(o tunnel.Observed) tunnel.Observed {
	o.Addresses = append([]netip.Prefix(nil), o.Addresses...)
	o.Peers = append([]tunnel.ObservedPeer(nil), o.Peers...)
	for i := range o.Peers {
		o.Peers[i].AllowedIPs = append([]netip.Prefix(nil), o.Peers[i].AllowedIPs...)
	}
	return o
}

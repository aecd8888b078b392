package pathmtu

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/meshway/meshway/agent/liveness"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// openRetry is the time between attempts to open a socket, and the least age of one that
// is opened again: it stays bound to an interface that was removed, even if an interface
// of the same name is created.
const openRetry = time.Second

// Network opens the sockets for echoes. liveness.UDP is the real one.
type Network interface {
	ListenEcho(ctx context.Context, local netip.Addr, device string) (liveness.PacketConn, error)
}

// Prober finds the path MTU of all peers. Its methods may be called concurrently.
type Prober struct {
	network Network
	log     *slog.Logger
	wake    notify.Signal
	changed notify.Broadcast

	mu      sync.Mutex // guards all following fields
	peers   map[key]*peer
	sockets map[socketKey]socket
}

type socket struct {
	liveness.PacketConn
	opened time.Time
}

// key identifies a peer by the socket and the sender of its answers.
type key struct {
	socketKey
	remote netip.Addr
}

type socketKey struct {
	local  netip.Addr
	device string
}

type peer struct {
	*search
	gateway  catalog.GatewayID
	id       uint32 // in our probes, so that the answer to a former peer is ignored
	sequence uint32
}

// New returns a prober, which starts with Run.
func New(network Network, log *slog.Logger) *Prober {
	return &Prober{
		network: network, log: log, wake: notify.NewSignal(),
		peers: map[key]*peer{}, sockets: map[socketKey]socket{},
	}
}

// Set replaces the peers to probe, and the MTU of the interfaces. What was found
// for peers that stay is kept.
func (p *Prober) Set(sessions []plan.SessionConfig, mtu int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	want := make(map[key]bool, len(sessions))
	for _, c := range sessions {
		k := key{socketKey{c.Local.Unmap(), c.Device}, c.Remote.Unmap()}
		want[k] = true
		if known := p.peers[k]; known != nil && known.gateway == c.Gateway {
			known.setMax(mtu, now)
			continue
		}
		p.peers[k] = &peer{search: newSearch(mtu, now), gateway: c.Gateway, id: rand.Uint32()}
	}
	for k := range p.peers {
		if !want[k] {
			delete(p.peers, k)
		}
	}
	p.wake.Notify()
}

// Found returns the path MTU of each gateway for which it is known, bytes: the smallest
// one of its sessions.
func (p *Prober) Found() map[catalog.GatewayID]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := make(map[catalog.GatewayID]int, len(p.peers))
	for _, peer := range p.peers {
		if n := peer.mtu(); n != 0 {
			found[peer.gateway] = min(n, cmp.Or(found[peer.gateway], n))
		}
	}
	return found
}

// Changed returns a channel that is closed when a path MTU changes after this call.
func (p *Prober) Changed() <-chan struct{} { return p.changed.Changed() }

// Run probes until ctx ends, and then returns nil.
func (p *Prober) Run(ctx context.Context) error {
	var receivers sync.WaitGroup
	defer receivers.Wait()
	defer p.closeSockets(func(socketKey) bool { return true })
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		opened := p.openSockets(ctx, &receivers)
		next := p.round(time.Now())
		if !opened {
			next = min(next, openRetry)
		}
		timer.Reset(max(next, time.Millisecond))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-p.wake:
		}
	}
}

// round sends the probes that are due, and returns the time until the next are.
func (p *Prober) round(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := confirmInterval
	for k, peer := range p.peers {
		conn, open := p.sockets[k.socketKey]
		if !open {
			wait = min(wait, openRetry)
			continue
		}
		before, broken := peer.mtu(), false
		sizes, next := peer.step(now)
		if after := peer.mtu(); after != before {
			p.report(peer, after)
		}
		for _, size := range sizes {
			peer.sequence++
			peer.sent(size, peer.sequence, now)
			err := conn.WriteTo(encode(peer.id, peer.sequence, size-headers(k.remote)), netip.AddrPortFrom(k.remote, 0)) // an error is a lost probe
			broken = broken || err != nil && !isOfPacket(err)
		}
		if broken && now.Sub(conn.opened) >= openRetry {
			_ = conn.Close() // nothing can be done about an error
			delete(p.sockets, k.socketKey)
		}
		wait = min(wait, next.Sub(now))
	}
	return wait
}

// isOfPacket reports whether the error of a send is about the packet or the moment: a
// socket that is opened again would send no better.
func isOfPacket(err error) bool {
	return slices.ContainsFunc([]error{syscall.EMSGSIZE, syscall.EAGAIN, syscall.ENOBUFS}, func(e error) bool { return errors.Is(err, e) })
}

func (p *Prober) report(peer *peer, mtu int) {
	p.log.Info("path MTU changed", "gateway", string(peer.gateway), "mtu", mtu)
	p.changed.Notify()
}

func (p *Prober) handle(k key, id, sequence uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	peer := p.peers[k]
	if peer == nil || peer.id != id {
		return
	}
	before, due := peer.mtu(), peer.next
	peer.answer(sequence, time.Now())
	if before == 0 && peer.mtu() != 0 {
		p.report(peer, peer.mtu())
	}
	if peer.next.Before(due) {
		p.wake.Notify()
	}
}

// openSockets opens the sockets that peers need and closes the others. It reports
// whether all are open. Only Run's goroutine calls it.
func (p *Prober) openSockets(ctx context.Context, receivers *sync.WaitGroup) bool {
	need := map[socketKey]bool{}
	p.mu.Lock()
	for k := range p.peers {
		need[k.socketKey] = true
	}
	p.mu.Unlock()
	p.closeSockets(func(k socketKey) bool { return !need[k] })
	complete := true
	for k := range need {
		p.mu.Lock()
		_, open := p.sockets[k]
		p.mu.Unlock()
		if open {
			continue
		}
		conn, err := p.network.ListenEcho(ctx, k.local, k.device)
		if err != nil {
			complete = false // the interface may not exist yet
			continue
		}
		p.mu.Lock()
		p.sockets[k] = socket{conn, time.Now()}
		p.mu.Unlock()
		receivers.Go(func() { p.receive(k, conn) })
	}
	return complete
}

// receive handles answers until reading fails or the socket is closed.
func (p *Prober) receive(k socketKey, conn liveness.PacketConn) {
	buffer := make([]byte, 64) // the rest of an answer is padding
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			p.closeSockets(func(other socketKey) bool { return other == k && p.sockets[k].PacketConn == conn })
			return
		}
		if id, sequence, ok := decode(buffer[:n]); ok {
			p.handle(key{k, from.Addr().Unmap()}, id, sequence)
		}
	}
}

// closeSockets closes the matching sockets.
func (p *Prober) closeSockets(match func(socketKey) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, conn := range p.sockets {
		if match(k) {
			_ = conn.Close() // nothing can be done about an error
			delete(p.sockets, k)
		}
	}
}

// magic begins the payload of our probes, which distinguishes them from others.
const magic = "MWM1"

// encode returns the payload of a probe: magic, id, sequence number, padding.
func encode(id, sequence uint32, size int) []byte {
	b := make([]byte, 0, size)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint32(b, id)
	b = binary.BigEndian.AppendUint32(b, sequence)
	return b[:size]
}

func decode(b []byte) (id, sequence uint32, ok bool) {
	if len(b) < len(magic)+8 || string(b[:len(magic)]) != magic {
		return 0, 0, false
	}
	b = b[len(magic):]
	return binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), true
}

// headers returns the size in bytes of the IP and ICMP headers of a probe.
func headers(remote netip.Addr) int {
	if remote.Is4() {
		return 20 + 8
	}
	return 40 + 8
}

package liveness

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/meshway/meshway/agent/plan"
)

// Prober tells whether hosts live by ICMP echoes alone, which their kernels
// answer: nodes ask the gateways of their datacenter so, with which they have
// no BFD session. The knobs are the same: a host is down after Multiplier
// intervals without an answer, and is asked once a second until it is back. One
// that never answered is undecided for Multiplier seconds.
type Prober struct {
	cfg  Config
	log  *slog.Logger
	wake chan struct{} // size 1: look again

	mu      sync.Mutex // guards all following fields
	targets map[sessionKey]*target
	sockets map[socketKey]*echoSocket
	changed chan struct{}
}

// target is one host that is asked.
type target struct {
	config    plan.SessionConfig
	quality   quality
	id        uint32 // in our echoes, so that a former target's answer is not taken for this one's
	up        bool
	undecided bool
	since     time.Time // of the last change of up
	heard     time.Time // when the last answer came; zero: never
}

// echoSocket is the connection of one local address and device.
type echoSocket struct {
	conn    PacketConn // nil: could not be opened
	tried   time.Time  // when opening was tried last
	failing time.Time  // since when sending fails; zero: it does not
	problem string     // of the last attempt, so that it is logged once
}

// NewProber prepares a prober; Run makes it live. Port means nothing to it.
func NewProber(cfg Config) *Prober {
	cfg.Interval = cmp.Or(cfg.Interval, DefaultInterval)
	cfg.Multiplier = min(max(cmp.Or(cfg.Multiplier, DefaultMultiplier), 1), 255)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Prober{
		cfg: cfg, log: cfg.Log, wake: make(chan struct{}, 1),
		targets: map[sessionKey]*target{}, sockets: map[socketKey]*echoSocket{}, changed: make(chan struct{}),
	}
}

// Run asks and decides until ctx ends, and then returns nil.
func (p *Prober) Run(ctx context.Context) error {
	var receivers sync.WaitGroup
	defer receivers.Wait()
	defer p.closeSockets()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		p.openSockets(ctx, &receivers)
		timer.Reset(max(time.Until(p.round(time.Now())), resolution))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-p.wake:
		}
	}
}

// Set says which hosts are asked. What is known of those that stay is kept.
func (p *Prober) Set(sessions []plan.SessionConfig) {
	p.mu.Lock()
	defer p.mu.Unlock()
	want := make(map[sessionKey]bool, len(sessions))
	for _, c := range sessions {
		key := sessionKey{socketKey{c.Local.Unmap(), c.Device}, c.Remote.Unmap()}
		want[key] = true
		if t := p.targets[key]; t != nil && t.config.Gateway == c.Gateway {
			t.config = c
			continue
		}
		p.targets[key] = &target{config: c, id: rand.Uint32(), undecided: true, since: time.Now()}
	}
	for key := range p.targets {
		if !want[key] {
			delete(p.targets, key)
		}
	}
	p.poke()
}

// poke makes the loop look again; the caller may hold mu.
func (p *Prober) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Sessions is a snapshot, sorted by gateway and device.
func (p *Prober) Sessions() []plan.Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	targets := make([]*target, 0, len(p.targets))
	for _, t := range p.targets {
		targets = append(targets, t)
	}
	slices.SortFunc(targets, func(a, b *target) int {
		return cmp.Or(cmp.Compare(a.config.Gateway, b.config.Gateway), cmp.Compare(a.config.Device, b.config.Device))
	})
	out := make([]plan.Session, 0, len(targets))
	for _, t := range targets {
		out = append(out, plan.Session{
			Gateway: t.config.Gateway, Up: t.up, Undecided: t.undecided, Since: t.since,
			LastPacket: t.heard, RTT: t.quality.rtt, Loss: t.quality.loss(now),
		})
	}
	return out
}

// Changed returns a channel that is closed when, after this call, a host goes
// up or down, or gets its first verdict.
func (p *Prober) Changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// round does what is due now and returns when the next round is.
func (p *Prober) round(now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := now.Add(slowInterval)
	for key, t := range p.targets {
		deadline := p.judge(t, now)
		if deadline.After(now) {
			next = earlier(next, deadline)
		}
		s := p.sockets[key.socketKey]
		if s == nil || s.conn == nil {
			continue // it is tried again after openRetry
		}
		if sequence, ok := t.quality.due(now, p.interval(t)); ok {
			s.send(echo{t.id, sequence}.append(nil), key.remote, now)
		}
		next = earlier(next, t.quality.next)
	}
	return next
}

func (p *Prober) interval(t *target) time.Duration {
	if t.up || t.undecided {
		return p.cfg.Interval
	}
	return max(p.cfg.Interval, slowInterval)
}

// judge takes a host down after silence, and returns when it has to be looked
// at again if it stays silent.
func (p *Prober) judge(t *target, now time.Time) time.Time {
	multiplier := time.Duration(p.cfg.Multiplier)
	deadline := t.since.Add(multiplier * slowInterval)
	if t.up {
		deadline = t.heard.Add(multiplier * p.cfg.Interval)
	}
	if !now.Before(deadline) {
		p.report(t, false, false, now)
	}
	return deadline
}

// report publishes a change of the verdict; the caller holds mu.
func (p *Prober) report(t *target, up, undecided bool, now time.Time) {
	if up == t.up && undecided == t.undecided {
		return
	}
	if up != t.up {
		t.since = now
	}
	t.up, t.undecided = up, undecided
	state := "silent"
	if up {
		state = "alive"
	}
	p.log.Info("gateway "+state, "peer", string(t.config.Gateway), "interface", t.config.Device, "address", t.config.Remote.String())
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Prober) handle(key sessionKey, reply echo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.targets[key]
	if t == nil || t.id != reply.discriminator {
		return
	}
	now := time.Now()
	if !t.quality.answer(reply.sequence, now) {
		return
	}
	if !t.up { // from now on it is asked at the full pace
		t.quality.next = now.Add(p.cfg.Interval)
		p.poke()
	}
	t.heard = now
	p.report(t, true, false, now)
}

// receive takes echo replies until the socket is closed or breaks.
func (p *Prober) receive(key socketKey, s *echoSocket, conn PacketConn) {
	buf := make([]byte, maxPacket)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			p.mu.Lock()
			s.close()
			p.mu.Unlock()
			return
		}
		if reply, ok := parseEcho(buf[:n]); ok {
			p.handle(sessionKey{key, from.Addr().Unmap()}, reply)
		}
	}
}

// openSockets opens what targets need and closes what none needs; only Run's
// goroutine calls it.
func (p *Prober) openSockets(ctx context.Context, receivers *sync.WaitGroup) {
	for _, key := range p.wantedSockets(time.Now()) {
		conn, err := p.cfg.Network.ListenEcho(ctx, key.local, key.device)
		p.mu.Lock()
		s := &echoSocket{conn: conn, tried: time.Now()}
		if err != nil {
			s.conn, s.problem = nil, err.Error()
			if before := p.sockets[key]; before == nil || before.problem != s.problem {
				p.log.Warn("gateways cannot be asked whether they live", "address", key.local.String(), "interface", key.device, "err", err)
			}
		}
		p.sockets[key] = s
		p.mu.Unlock()
		if err == nil {
			receivers.Go(func() { p.receive(key, s, conn) })
		}
	}
}

// wantedSockets closes sockets that are broken or not needed and returns
// those to be opened now.
func (p *Prober) wantedSockets(now time.Time) []socketKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	need := map[socketKey]bool{}
	for key := range p.targets {
		need[key.socketKey] = true
	}
	for key, s := range p.sockets {
		if !need[key] {
			s.close()
			delete(p.sockets, key)
		} else if !s.failing.IsZero() && now.Sub(s.failing) >= openRetry {
			s.close()
		}
	}
	var open []socketKey
	for key := range need {
		if s := p.sockets[key]; s == nil || s.conn == nil && now.Sub(s.tried) >= openRetry {
			open = append(open, key)
		}
	}
	return open
}

func (p *Prober) closeSockets() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, s := range p.sockets {
		s.close()
		delete(p.sockets, key)
	}
}

// send notes whether the socket still can; a lost echo is what echoes are
// there to find.
func (s *echoSocket) send(b []byte, to netip.Addr, now time.Time) {
	if err := s.conn.WriteTo(b, netip.AddrPortFrom(to, 0)); err == nil {
		s.failing = time.Time{}
	} else if s.failing.IsZero() {
		s.failing = now
	}
}

// close ends the receiver. What goes wrong here has no consequence.
func (s *echoSocket) close() {
	if s.conn != nil {
		_ = s.conn.Close()
	}
	s.conn, s.failing, s.tried = nil, time.Time{}, time.Now()
}

package liveness

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/wake"
)

// Prober tells whether hosts live by ICMP echoes alone, which their kernels
// answer: nodes ask the gateways of their datacenter so, with which they have
// no BFD session. The knobs are the same: a host is down after Multiplier
// intervals without an answer, and is asked once a second until it is back. One
// that never answered is undecided for Multiplier seconds.
type Prober struct {
	cfg     Config
	log     *slog.Logger
	wake    wake.One
	changed wake.All

	mu      sync.Mutex // guards all following fields
	targets map[sessionKey]*target
	sockets sockets
}

// target is one host that is asked.
type target struct {
	config    plan.SessionConfig
	quality   quality
	id        uint32 // in our echoes, so that a former target's answer is not taken for this one's
	up        bool
	undecided bool
	since     time.Time // of the last change of up
	lastReply time.Time // when the last answer came; zero: never
}

// NewProber prepares a prober; Run makes it live. Port means nothing to it.
func NewProber(cfg Config) *Prober {
	cfg = cfg.withDefaults()
	return &Prober{
		cfg: cfg, log: cfg.Log, wake: wake.NewOne(),
		targets: map[sessionKey]*target{}, sockets: sockets{},
	}
}

// Run asks and decides until ctx ends, and then returns nil.
func (p *Prober) Run(ctx context.Context) error {
	var receivers sync.WaitGroup
	defer receivers.Wait()
	defer p.closeSockets()
	runRounds(ctx, p.wake, func() (next time.Time) {
		p.openSockets(ctx, &receivers)
		return p.round(time.Now())
	})
	return nil
}

// Set says which hosts are asked. What is known of those that stay is kept.
func (p *Prober) Set(sessions []plan.SessionConfig) {
	p.mu.Lock()
	defer p.mu.Unlock()
	want := make(map[sessionKey]bool, len(sessions))
	for _, c := range sessions {
		key := keyOf(c)
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
	p.wake.Up()
}

// Sessions is a snapshot, sorted by gateway and device.
func (p *Prober) Sessions() []plan.Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	targets := slices.SortedFunc(maps.Values(p.targets), func(a, b *target) int { return compareSessions(a.config, b.config) })
	out := make([]plan.Session, 0, len(targets))
	for _, t := range targets {
		out = append(out, plan.Session{
			Gateway: t.config.Gateway, Up: t.up, Undecided: t.undecided, Since: t.since,
			LastPacket: t.lastReply, RTT: t.quality.rtt, Loss: t.quality.loss(now),
		})
	}
	return out
}

// Changed returns a channel that is closed when, after this call, a host goes
// up or down, or gets its first verdict.
func (p *Prober) Changed() <-chan struct{} { return p.changed.Changed() }

// round does what is due now and returns when the next round is.
func (p *Prober) round(now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := now.Add(slowTxInterval)
	for key, t := range p.targets {
		deadline := p.expire(t, now)
		if deadline.After(now) {
			next = earlier(next, deadline)
		}
		s := p.sockets[key.socketKey]
		if s == nil || s.conn == nil {
			continue // it is tried again after openRetry
		}
		if sequence, ok := t.quality.due(now, p.interval(t)); ok {
			s.send(echo{t.id, sequence}.encode(), netip.AddrPortFrom(key.remote, 0), now)
		}
		next = earlier(next, t.quality.next)
	}
	return next
}

func (p *Prober) interval(t *target) time.Duration {
	if t.up || t.undecided {
		return p.cfg.Interval
	}
	return max(p.cfg.Interval, slowTxInterval)
}

// expire takes a host down after silence, and returns when it has to be looked
// at again if it stays silent.
func (p *Prober) expire(t *target, now time.Time) time.Time {
	multiplier := time.Duration(p.cfg.Multiplier)
	deadline := t.since.Add(multiplier * slowTxInterval)
	if t.up {
		deadline = t.lastReply.Add(multiplier * p.cfg.Interval)
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
	p.changed.Up()
}

func (p *Prober) handle(key sessionKey, reply echo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.targets[key]
	if t == nil || t.id != reply.discriminator {
		return
	}
	now := time.Now()
	if !t.quality.handleReply(reply.sequence, now) {
		return
	}
	if !t.up { // from now on it is asked at the full pace
		t.quality.next = now.Add(p.cfg.Interval)
		p.wake.Up()
	}
	t.lastReply = now
	p.report(t, true, false, now)
}

// openSockets opens what targets need and closes what none needs; only Run's
// goroutine calls it.
func (p *Prober) openSockets(ctx context.Context, receivers *sync.WaitGroup) {
	for _, key := range p.wantedSockets(time.Now()) {
		conn, err := p.cfg.Network.ListenEcho(ctx, key.local, key.device)
		if err != nil {
			p.failedToOpen(key, err)
			continue
		}
		p.mu.Lock()
		s := &socket{conn: conn, tried: time.Now()}
		p.sockets[key] = s
		p.mu.Unlock()
		receivers.Go(func() {
			readEchoes(conn, func(from netip.Addr, reply echo) { p.handle(sessionKey{key, from}, reply) })
			p.mu.Lock()
			defer p.mu.Unlock()
			s.close()
		})
	}
}

func (p *Prober) wantedSockets(now time.Time) []socketKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	need := map[socketKey]bool{}
	for key := range p.targets {
		need[key.socketKey] = true
	}
	return p.sockets.reconcile(need, now)
}

func (p *Prober) failedToOpen(key socketKey, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sockets.recordFailure(key, err) {
		p.log.Warn("gateways cannot be asked whether they live", "address", key.local.String(), "interface", key.device, "err", err)
	}
}

func (p *Prober) closeSockets() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sockets.close()
}

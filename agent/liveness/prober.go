package liveness

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
)

// Prober detects whether hosts are alive with ICMP echoes, which their kernels
// answer. Nodes probe the gateways of their datacenter, with which they have no BFD
// session, at each of their addresses. A host is down after Multiplier intervals without a reply, and is then
// probed once a second. A host that has never replied is undecided for Multiplier
// seconds.
type Prober struct {
	cfg     Config
	log     *slog.Logger
	wake    notify.Signal
	changed notify.Broadcast

	mu      sync.Mutex // guards all following fields
	targets map[sessionKey]*target
	sockets sockets
}

// target is one host that is probed.
type target struct {
	cfg       plan.SessionConfig
	quality   quality
	id        uint32 // in our echoes, so that a reply to a former target is ignored
	up        bool
	undecided bool
	since     time.Time // of the last change of up
	lastReply time.Time // zero: none yet
}

// NewProber returns a prober, which starts with Run. It ignores Config.Port.
func NewProber(cfg Config) *Prober {
	cfg = cfg.withDefaults()
	return &Prober{
		cfg: cfg, log: cfg.Log, wake: notify.NewSignal(),
		targets: map[sessionKey]*target{}, sockets: sockets{},
	}
}

// Run probes the hosts until ctx ends, and then returns nil.
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

// Set replaces the hosts to probe. The state of hosts that stay is kept.
func (p *Prober) Set(sessions []plan.SessionConfig) {
	p.mu.Lock()
	defer p.mu.Unlock()
	want := make(map[sessionKey]bool, len(sessions))
	for _, c := range sessions {
		key := keyOf(c)
		want[key] = true
		if t := p.targets[key]; t != nil && t.cfg.Gateway == c.Gateway {
			t.cfg = c
			continue
		}
		p.targets[key] = &target{cfg: c, id: rand.Uint32(), undecided: true, since: time.Now()}
	}
	for key := range p.targets {
		if !want[key] {
			delete(p.targets, key)
		}
	}
	p.wake.Notify()
}

// Sessions returns the state of all hosts, sorted by gateway and device. A gateway with
// several addresses has one session, in the state of the address that works best.
func (p *Prober) Sessions() []plan.Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	targets := slices.SortedFunc(maps.Values(p.targets), func(a, b *target) int {
		return cmp.Or(compareSessions(a.cfg, b.cfg), a.cfg.Remote.Compare(b.cfg.Remote))
	})
	out := make([]plan.Session, 0, len(targets))
	for _, t := range targets {
		s := plan.Session{
			Gateway:    t.cfg.Gateway,
			Up:         t.up,
			Undecided:  t.undecided,
			Since:      t.since,
			LastPacket: t.lastReply,
			RTT:        t.quality.rtt,
			Loss:       t.quality.loss(now),
		}
		switch last := len(out) - 1; {
		case last < 0 || out[last].Gateway != s.Gateway:
			out = append(out, s)
		case s.Up && !out[last].Up, s.Undecided && !out[last].Up && !out[last].Undecided:
			out[last] = s
		}
	}
	return out
}

// Changed returns a channel that is closed when a host goes up or down, or is no
// longer undecided, after this call.
func (p *Prober) Changed() <-chan struct{} { return p.changed.Changed() }

// round performs what is due and returns when the next round is due.
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
			continue // opening is tried again after openRetry
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

// expire takes a host down if it has not replied in time, and returns the deadline
// for its next reply.
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

// report publishes a change of a target's state. The caller holds mu.
func (p *Prober) report(t *target, up, undecided bool, now time.Time) {
	if up == t.up && undecided == t.undecided {
		return
	}
	if up != t.up {
		t.since = now
	}
	t.up, t.undecided = up, undecided
	state := "does not answer echoes"
	if up {
		state = "answers echoes"
	}
	p.log.Info("gateway "+state, "gateway", string(t.cfg.Gateway), "device", t.cfg.Device, "address", t.cfg.Remote.String())
	p.changed.Notify()
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
	if !t.up { // from now on it is probed at the configured interval
		t.quality.next = now.Add(p.cfg.Interval)
		p.wake.Notify()
	}
	t.lastReply = now
	p.report(t, true, false, now)
}

// openSockets opens the sockets that targets need and closes the others. Only Run's
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
		p.log.Warn("failed to open an echo socket; gateways are not probed", "address", key.local.String(), "device", key.device, "err", err)
	}
}

func (p *Prober) closeSockets() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sockets.close()
}

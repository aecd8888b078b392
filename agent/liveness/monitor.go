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

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/wake"
	"github.com/meshway/meshway/tunnel"
)

// The defaults of Config: a gateway that dies is noticed within 500 ms.
const (
	DefaultPort       = 3784 // RFC 5881 section 4
	DefaultInterval   = 100 * time.Millisecond
	DefaultMultiplier = 4
)

// relaxedFactor is by how much slower the sessions of SessionConfig.Relaxed are,
// unless they have an interval of slowInterval anyway.
const relaxedFactor = 5

// resolution is the least time between two rounds of the timer loop.
const resolution = time.Millisecond

// Network opens the sockets of the sessions. UDP is the real one,
// livenesstest has one in memory.
type Network interface {
	// Listen opens the socket for control packets of one local address inside
	// the tunnels. An empty device means any. The address need not be up yet.
	Listen(ctx context.Context, local netip.AddrPort, device string) (PacketConn, error)
	// ListenEcho opens a socket for ICMP echoes: WriteTo sends an echo request
	// with that payload (the port is ignored), ReadFrom returns the payload of
	// a reply. An error means that there will be no RTT and that a restart of
	// the peer's agent is seen as a failure of the tunnel.
	ListenEcho(ctx context.Context, local netip.Addr, device string) (PacketConn, error)
}

// PacketConn sends and receives the packets of all sessions of one local
// address. WriteTo never blocks: a packet that cannot leave at once is lost.
type PacketConn interface {
	ReadFrom(b []byte) (n int, from netip.AddrPort, err error)
	WriteTo(b []byte, to netip.AddrPort) error
	Close() error // ends ReadFrom
}

// Config is what a Monitor needs.
type Config struct {
	Port       uint16        // UDP; 0: DefaultPort
	Interval   time.Duration // between control packets; 0: DefaultInterval
	Multiplier int           // packets missed until a session is down, 1 to 255; 0: DefaultMultiplier
	Network    Network
	Log        *slog.Logger // nil: discard
}

// Monitor runs the sessions.
type Monitor struct {
	cfg     Config
	log     *slog.Logger
	wake    wake.One
	changed wake.All
	// overdue is woken when a session is late.
	overdue wake.One

	mu       sync.Mutex // guards all following fields; packets are sent under it, so that they leave in order
	sessions map[sessionKey]*entry
	sockets  sockets
	draining bool
}

// sessionKey tells sessions apart: by where packets come in and whom from.
type sessionKey struct {
	socketKey
	remote netip.Addr
}

func keyOf(c plan.SessionConfig) sessionKey {
	return sessionKey{socketKey{c.Local.Unmap(), c.Device}, c.Remote.Unmap()}
}

// entry is a session with what the monitor adds to it.
type entry struct {
	session
	quality       quality
	config        plan.SessionConfig
	up            bool      // as reported
	undecided     bool      // as reported
	peerDrained   bool      // as reported: the peer is drained
	since         time.Time // of the last change of up
	receivedBytes uint64    // bytes, as Activity told last
	countedAt     time.Time // when Activity told received; zero: never
}

// New prepares a monitor; Run makes it live.
func New(cfg Config) *Monitor {
	cfg = cfg.withDefaults()
	return &Monitor{
		cfg: cfg, log: cfg.Log, wake: wake.NewOne(), overdue: wake.NewOne(),
		sessions: map[sessionKey]*entry{}, sockets: sockets{},
	}
}

func (c Config) withDefaults() Config {
	c.Port = cmp.Or(c.Port, DefaultPort)
	c.Interval = cmp.Or(c.Interval, DefaultInterval)
	c.Multiplier = min(max(cmp.Or(c.Multiplier, DefaultMultiplier), 1), 255)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Run sends, receives and decides until ctx ends, and then returns nil. It
// falls silent without a word: peers whose packets still get through keep
// their session (see the package comment), so a restart is no outage.
func (m *Monitor) Run(ctx context.Context) error {
	var receivers sync.WaitGroup
	defer receivers.Wait()
	defer m.closeSockets()
	runRounds(ctx, m.wake, func() (next time.Time) {
		m.openSockets(ctx, &receivers)
		return m.round(time.Now())
	})
	return nil
}

// runRounds makes the next round when it is due, or at once when woken.
func runRounds(ctx context.Context, woken wake.One, round func() (next time.Time)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(max(time.Until(round()), resolution))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-woken:
		}
	}
}

// Set says which sessions should run. Those that go on are not disturbed. The
// peer of one that ends is told, so that it does not wait for us in vain.
func (m *Monitor) Set(sessions []plan.SessionConfig) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	want := make(map[sessionKey]bool, len(sessions))
	for _, c := range sessions {
		key := keyOf(c)
		want[key] = true
		if e := m.sessions[key]; e != nil {
			e.config = c
			e.setInterval(m.interval(c), now)
			continue
		}
		m.sessions[key] = m.newEntry(c, now)
	}
	for key, e := range m.sessions {
		if !want[key] {
			m.sendAdminDown(key, e)
			delete(m.sessions, key)
			m.log.Info("liveness session removed", "peer", string(e.config.Gateway))
		}
	}
	m.wake.Up()
}

// Sessions is a snapshot, sorted by gateway and device.
func (m *Monitor) Sessions() []plan.Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	entries := slices.SortedFunc(maps.Values(m.sessions), func(a, b *entry) int { return compareSessions(a.config, b.config) })
	out := make([]plan.Session, 0, len(entries))
	for _, e := range entries {
		out = append(out, plan.Session{
			Gateway: e.config.Gateway, Up: e.up, Draining: e.peerDrained, Undecided: e.undecided, Since: e.since,
			LastPacket: e.lastPacket, RTT: e.quality.rtt, Loss: e.quality.loss(now),
		})
	}
	return out
}

func compareSessions(a, b plan.SessionConfig) int {
	return cmp.Or(cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.Device, b.Device))
}

// Drain asks all peers, at once, to send nothing more to this gateway, or to
// send again. Their sessions are then down without having failed; what
// Sessions says of them here is whether they can still be sent to.
func (m *Monitor) Drain(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.draining = on
	now := time.Now()
	for _, e := range m.sessions {
		e.session.drain(on, now)
		m.report(e, now)
	}
	m.wake.Up()
}

// Overdue gives again and again while a session waits for a control packet that
// is overdue: what Activity could tell counts then. Counters need not be read
// before. One reader gets it.
func (m *Monitor) Overdue() <-chan struct{} { return m.overdue }

// Activity tells how many bytes the data plane has received from a peer; if
// they grew within the detection time, the peer is alive. Only what a session
// key authenticated is counted by WireGuard, so nobody else can make them grow.
// When they grew since an older count cannot be told, so that says nothing.
func (m *Monitor) Activity(key tunnel.PublicKey, receivedBytes uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for _, e := range m.sessions {
		if e.config.Key != key {
			continue
		}
		if now.Sub(e.countedAt) < e.detectionTime() && receivedBytes > e.receivedBytes {
			e.noteActivity(now)
		}
		e.countedAt, e.receivedBytes = now, receivedBytes
	}
}

// Changed returns a channel that is closed when, after this call, a session
// goes up or down, or gets its first verdict.
func (m *Monitor) Changed() <-chan struct{} { return m.changed.Changed() }

// sendAdminDown sends one AdminDown (RFC 5880 section 6.8.16); if it is lost, the
// peer notices when this host stops to be its peer in WireGuard.
func (m *Monitor) sendAdminDown(key sessionKey, e *entry) {
	s := m.sockets[key.socketKey]
	if s == nil || e.remoteDiscr == 0 {
		return
	}
	e.enter(AdminDown, AdministrativelyDown)
	s.send(e.packet().Append(nil), netip.AddrPortFrom(key.remote, m.cfg.Port), time.Now())
}

func (m *Monitor) newEntry(c plan.SessionConfig, now time.Time) *entry {
	e := &entry{config: c, undecided: true, since: now}
	e.session = newSession(timing{m.interval(c), uint8(m.cfg.Multiplier)}, m.discriminator(), now)
	e.session.drain(m.draining, now)
	return e
}

// interval is the time between the control packets of a session.
func (m *Monitor) interval(c plan.SessionConfig) time.Duration {
	if !c.Relaxed {
		return m.cfg.Interval
	}
	return max(m.cfg.Interval, min(relaxedFactor*m.cfg.Interval, slowTxInterval))
}

// discriminator is a fresh one: random, so that a restarted agent's are new
// (RFC 5880 section 6.8.1), not zero and not in use.
func (m *Monitor) discriminator() uint32 {
	for {
		d := rand.Uint32()
		if d != 0 && m.byDiscriminator(d) == nil {
			return d
		}
	}
}

func (m *Monitor) byDiscriminator(d uint32) *entry {
	for _, e := range m.sessions {
		if e.localDiscr == d {
			return e
		}
	}
	return nil
}

// round does what is due now and returns when the next round is.
func (m *Monitor) round(now time.Time) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := now.Add(slowTxInterval)
	for key, e := range m.sessions {
		e.expire(now)
		m.report(e, now)
		s := m.sockets[key.socketKey]
		if s == nil || s.conn == nil {
			// The socket is tried again after openRetry. The clock goes on.
			next = earlier(next, e.deadline(next, now))
			continue
		}
		turn := !now.Before(e.nextTx)
		if p, ok := e.due(now, rand.Float64()); ok {
			s.send(p.Append(nil), netip.AddrPortFrom(key.remote, m.cfg.Port), now)
		}
		m.sendEcho(e, s, key.remote, turn, now)
		if e.overdue(now) {
			m.overdue.Up()
		}
		next = earlier(next, e.nextRound(now))
	}
	for _, s := range m.sockets {
		next = earlier(next, s.retryAt(now))
	}
	return next
}

// sendEcho asks the peer's kernel whether it is there: regularly, together with
// a control packet, since it is waking up for one packet that costs; and at the
// session's pace when its agent keeps us waiting.
func (m *Monitor) sendEcho(e *entry, s *socket, remote netip.Addr, turn bool, now time.Time) {
	if s.echo == nil || e.state != Up && e.state != AdminDown {
		return
	}
	interval := echoInterval
	if e.overdue(now) {
		interval = e.interval
		e.quality.next = earlier(e.quality.next, e.quality.lastEcho().Add(interval))
	} else if !turn {
		return
	}
	if sequence, ok := e.quality.due(now, interval); ok {
		// A lost echo is what echoes are there to find.
		_ = s.echo.WriteTo(echo{e.localDiscr, sequence}.encode(), netip.AddrPortFrom(remote, 0))
	}
}

// nextRound is when this entry needs a round.
func (e *entry) nextRound(now time.Time) time.Time {
	next := e.nextEvent(now)
	switch {
	case e.overdue(now):
		next = earlier(next, e.quality.next)
	case e.state == Up:
		next = earlier(next, e.lastControl.Add(max(e.interval, e.remoteTx)*3/2+resolution))
	}
	return next
}

// report publishes a change of the verdict.
func (m *Monitor) report(e *entry, now time.Time) {
	up := e.usable(now)
	undecided := e.undecided && !up && !e.decided(now)
	drained := e.session.peerDrained(now)
	if up == e.up && undecided == e.undecided && drained == e.peerDrained {
		return
	}
	if up != e.up {
		e.since = now
		state := "down"
		if up {
			state = "up"
		}
		m.log.Info("liveness session "+state, "peer", string(e.config.Gateway), "interface", e.config.Device, "reason", e.diagnostic.String())
	}
	e.up, e.undecided, e.peerDrained = up, undecided, drained
	m.changed.Up()
}

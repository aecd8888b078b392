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
	"github.com/meshway/meshway/tunnel"
)

// The defaults of Config. With them, the failure of a gateway is detected within
// 500 ms.
const (
	DefaultPort       = 3784 // RFC 5881 section 4
	DefaultInterval   = 100 * time.Millisecond
	DefaultMultiplier = 4
)

// relaxedFactor is the factor between the interval of a relaxed session and
// Config.Interval, up to an interval of slowTxInterval.
const relaxedFactor = 5

// resolution is the minimum time between two rounds of the timer loop.
const resolution = time.Millisecond

// Network opens the sockets of the sessions. UDP is the real one; package
// livenesstest has one in memory.
type Network interface {
	// Listen opens the socket for control packets of one local address inside
	// the tunnels. An empty device means any. The address need not exist yet.
	Listen(ctx context.Context, local netip.AddrPort, device string) (PacketConn, error)
	// ListenEcho opens a socket for ICMP echoes: WriteTo sends an echo request
	// with the given payload (the port is ignored), ReadFrom returns the payload
	// of a reply. Without echoes, the round-trip time is not measured and a
	// restart of the peer's agent takes its sessions down.
	ListenEcho(ctx context.Context, local netip.Addr, device string) (PacketConn, error)
}

// PacketConn sends and receives the packets of all sessions of one local address.
type PacketConn interface {
	// ReadFrom waits for a packet and copies it into b.
	ReadFrom(b []byte) (n int, from netip.AddrPort, err error)
	// WriteTo never blocks: a packet that cannot be sent at once is lost.
	WriteTo(b []byte, to netip.AddrPort) error
	Close() error // ends ReadFrom
}

// Config configures a Monitor or a Prober.
type Config struct {
	Port       uint16        // UDP; 0: DefaultPort
	Interval   time.Duration // between control packets; 0: DefaultInterval
	Multiplier int           // RFC 5880's detect multiplier: lost packets until a session is down, 1 to 255; 0: DefaultMultiplier
	Network    Network
	Log        *slog.Logger // nil: discard
}

// Monitor runs the BFD sessions of this gateway. Its methods may be called
// concurrently.
type Monitor struct {
	cfg     Config
	log     *slog.Logger
	wake    notify.Signal
	changed notify.Broadcast
	// overdue is signalled while a session is past its next expected packet.
	overdue notify.Signal

	mu       sync.Mutex // guards all following fields; packets are sent under it, so that they leave in order
	sessions map[sessionKey]*entry
	sockets  sockets
	draining bool
}

// sessionKey identifies a session by the socket and the sender of its packets.
type sessionKey struct {
	socketKey
	remote netip.Addr
}

func keyOf(c plan.SessionConfig) sessionKey {
	return sessionKey{socketKey{c.Local.Unmap(), c.Device}, c.Remote.Unmap()}
}

// entry is a session of a Monitor.
type entry struct {
	session
	verdict
	quality       quality
	copies        copies
	cfg           plan.SessionConfig
	since         time.Time // of the last change of verdict.up
	receivedBytes uint64    // at the last call of Activity
	countedAt     time.Time // time of the last call of Activity; zero: none
}

// New returns a monitor, which starts with Run.
func New(cfg Config) *Monitor {
	cfg = cfg.withDefaults()
	return &Monitor{
		cfg: cfg, log: cfg.Log, wake: notify.NewSignal(), overdue: notify.NewSignal(),
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

// Run runs the sessions until ctx ends, and then returns nil. It does not announce
// its end to the peers: echo replies of this host's kernel keep their sessions up
// (see the package comment), so that tunnels stay in use while the agent restarts.
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

// runRounds calls round when it is due, and at once when woken, until ctx ends.
func runRounds(ctx context.Context, woken notify.Signal, round func() (next time.Time)) {
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

// Set replaces the sessions to run. The state of sessions that stay is kept. The
// peer of a removed session receives AdminDown.
func (m *Monitor) Set(sessions []plan.SessionConfig) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	want := make(map[sessionKey]bool, len(sessions))
	for _, c := range sessions {
		key := keyOf(c)
		want[key] = true
		if e := m.sessions[key]; e != nil {
			e.cfg = c
			e.setInterval(m.interval(c), now)
			continue
		}
		m.sessions[key] = m.newEntry(c, now)
	}
	for key, e := range m.sessions {
		if !want[key] {
			m.sendAdminDown(key, e)
			delete(m.sessions, key)
			m.log.Info("removed a liveness session", "gateway", string(e.cfg.Gateway))
		}
	}
	m.wake.Notify()
}

// Sessions returns the state of all sessions, sorted by gateway and device.
func (m *Monitor) Sessions() []plan.Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	entries := slices.SortedFunc(maps.Values(m.sessions), func(a, b *entry) int { return compareSessions(a.cfg, b.cfg) })
	out := make([]plan.Session, 0, len(entries))
	for _, e := range entries {
		out = append(out, plan.Session{
			Gateway:    e.cfg.Gateway,
			Up:         e.up,
			Draining:   e.draining,
			Undecided:  e.undecided,
			PeerCopied: e.peerCopied,
			SelfCopied: e.selfCopied,
			Since:      e.since,
			LastPacket: e.lastPacket,
			RTT:        e.quality.rtt,
			Loss:       e.quality.loss(now),
			PortOwner:  m.sockets.portOwner(keyOf(e.cfg).socketKey),
		})
	}
	return out
}

func compareSessions(a, b plan.SessionConfig) int {
	return cmp.Or(cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.Device, b.Device))
}

// Drain takes all sessions out of use (AdminDown), or back into use, and announces
// it to the peers at once. The peers of a drained gateway send no traffic to it,
// and report its session as Draining instead of failed. Sessions of the drained
// gateway itself are Up while it can send to the peer. Repeated calls are no-ops.
func (m *Monitor) Drain(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.draining = on
	now := time.Now()
	for _, e := range m.sessions {
		e.session.drain(on, now)
		m.report(e, now)
	}
	m.wake.Notify()
}

// Overdue receives while at least one session is past its next expected control
// packet; call Activity with fresh counters then. At other times the counters have
// no effect. Each value is received by one reader.
func (m *Monitor) Overdue() <-chan struct{} { return m.overdue }

// Activity reports how many bytes the data plane has received from each peer. A growth
// within the detection time extends the peer's sessions that are up, because
// WireGuard counts only authenticated packets. A growth since an older call has no
// effect, because its time is unknown.
func (m *Monitor) Activity(received map[tunnel.PublicKey]uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for _, e := range m.sessions {
		bytes, known := received[e.cfg.Key]
		if !known {
			continue
		}
		recent := e.detectionTime()
		if e.state != Up { // the counters are read once per second then, at most
			recent = max(recent, e.slowDetectionTime())
		}
		if now.Sub(e.countedAt) < recent && bytes > e.receivedBytes {
			e.noteActivity(now)
		}
		e.countedAt, e.receivedBytes = now, bytes
	}
}

// Check returns why the packets of sessions cannot be received at an address, or nil.
func (m *Monitor) Check(ctx context.Context, local netip.Addr) error {
	conn, err := m.cfg.Network.Listen(ctx, netip.AddrPortFrom(local, m.cfg.Port), "")
	if err != nil {
		return err
	}
	return conn.Close()
}

// Changed returns a channel that is closed when a session goes up or down, is no
// longer undecided, or its peer's Draining changes, after this call.
func (m *Monitor) Changed() <-chan struct{} { return m.changed.Changed() }

// sendAdminDown sends one packet with state AdminDown (RFC 5880 section 6.8.16). If
// it is lost, the peer's session goes down when this host is no longer its peer in
// WireGuard.
func (m *Monitor) sendAdminDown(key sessionKey, e *entry) {
	s := m.sockets[key.socketKey]
	if s == nil || e.remote.discr == 0 {
		return
	}
	e.enter(AdminDown, AdministrativelyDown)
	s.send(e.packet().Append(nil), netip.AddrPortFrom(key.remote, m.cfg.Port), time.Now())
}

func (m *Monitor) newEntry(c plan.SessionConfig, now time.Time) *entry {
	e := &entry{cfg: c, verdict: verdict{undecided: true}, since: now}
	e.session = newSession(timing{m.interval(c), uint8(m.cfg.Multiplier)}, m.discriminator(), now)
	e.session.drain(m.draining, now)
	return e
}

// interval returns the configured time between the control packets of a session.
func (m *Monitor) interval(c plan.SessionConfig) time.Duration {
	if !c.Relaxed {
		return m.cfg.Interval
	}
	return max(m.cfg.Interval, min(relaxedFactor*m.cfg.Interval, slowTxInterval))
}

// discriminator returns a new discriminator, which is neither 0 nor in use. It is
// random, so that those of a restarted agent differ (RFC 5880 section 6.8.1).
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

// round performs what is due and returns when the next round is due.
func (m *Monitor) round(now time.Time) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := now.Add(slowTxInterval)
	for key, e := range m.sessions {
		e.expire(now)
		m.report(e, now)
		s := m.sockets[key.socketKey]
		if s == nil || s.conn == nil {
			// Opening is tried again after openRetry; the session still expires.
			next = earlier(next, e.deadline(next, now))
			continue
		}
		controlDue := !now.Before(e.nextTx)
		if p, ok := e.due(now, rand.Float64()); ok {
			s.send(p.Append(nil), netip.AddrPortFrom(key.remote, m.cfg.Port), now)
		}
		m.sendEcho(e, s, key.remote, controlDue, now)
		if e.overdue(now) {
			m.overdue.Notify()
		}
		next = earlier(next, e.nextRound(now))
	}
	for _, s := range m.sockets {
		next = earlier(next, s.retryAt(now))
	}
	return next
}

// sendEcho sends an echo request if one is due: once a second together with a
// control packet, because it is the separate wake-ups that cost CPU time, and at the
// session's interval while a control packet is overdue.
func (m *Monitor) sendEcho(e *entry, s *socket, remote netip.Addr, controlDue bool, now time.Time) {
	if s.echo == nil || e.state != Up && e.state != AdminDown {
		return
	}
	interval := echoInterval
	if e.overdue(now) {
		interval = e.interval
		e.quality.next = earlier(e.quality.next, e.quality.lastEcho().Add(interval))
	} else if !controlDue {
		return
	}
	if sequence, ok := e.quality.due(now, interval); ok {
		// An error counts as a lost echo.
		_ = s.echo.WriteTo(echo{e.localDiscr, sequence}.encode(), netip.AddrPortFrom(remote, 0))
	}
}

// nextRound returns when this entry needs the next round.
func (e *entry) nextRound(now time.Time) time.Time {
	next := e.nextEvent(now)
	switch {
	case e.overdue(now):
		next = earlier(next, e.quality.next)
	case e.state == Up:
		next = earlier(next, e.lastControl.Add(e.overdueAfter()+resolution))
	}
	return next
}

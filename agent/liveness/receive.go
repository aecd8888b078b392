package liveness

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// openSockets opens what sessions need and closes what none needs. It may
// block in the network, hence without the lock; only Run's goroutine calls it.
func (m *Monitor) openSockets(ctx context.Context, receivers *sync.WaitGroup) {
	for _, key := range m.wantedSockets(time.Now()) {
		control, err := m.cfg.Network.Listen(ctx, netip.AddrPortFrom(key.local, m.cfg.Port), key.device)
		if err != nil {
			m.failedToOpen(key, err)
			continue
		}
		echoes, err := m.cfg.Network.ListenEcho(ctx, key.local, key.device)
		if err != nil {
			m.log.Warn("no echoes: round-trip times are not measured", "interface", key.device, "err", err)
			echoes = nil
		}
		m.mu.Lock()
		s := &socket{conn: control, echo: echoes, tried: time.Now()}
		m.sockets[key] = s
		m.mu.Unlock()
		receivers.Go(func() { m.receiveControl(key, s, control) })
		if echoes != nil {
			receivers.Go(func() {
				readEchoes(echoes, func(from netip.Addr, reply echo) { m.handleEcho(sessionKey{key, from}, reply) })
				m.closeBroken(s)
			})
		}
	}
}

func (m *Monitor) wantedSockets(now time.Time) []socketKey {
	m.mu.Lock()
	defer m.mu.Unlock()
	need := map[socketKey]bool{}
	for key := range m.sessions {
		need[key.socketKey] = true
	}
	return m.sockets.reconcile(need, now)
}

func (m *Monitor) failedToOpen(key socketKey, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sockets.recordFailure(key, err) {
		m.log.Warn("liveness cannot listen yet", "address", key.local.String(), "interface", key.device, "err", err)
	}
}

func (m *Monitor) closeSockets() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sockets.close()
}

// receiveControl takes packets until the socket is closed or breaks.
func (m *Monitor) receiveControl(key socketKey, s *socket, conn PacketConn) {
	buf := make([]byte, maxPacket)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			m.closeBroken(s)
			return
		}
		p, err := ParseControl(buf[:n])
		if err != nil {
			m.log.Debug("liveness packet dropped", "from", from.String(), "err", err)
			continue
		}
		m.handleControl(sessionKey{key, from.Addr().Unmap()}, s, p)
	}
}

func (m *Monitor) handleControl(key sessionKey, s *socket, p Control) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// WireGuard has proved the source address, so it finds the session as
	// surely as the discriminator, which receive checks.
	e := m.sessions[key]
	if e == nil {
		return
	}
	now := time.Now()
	expected := e.nextRound(now)
	if e.receive(p, now) {
		reply := e.packet()
		if reply.Final = p.Poll; reply.Final {
			reply.Poll = false // never both; ours is asked again in the next packet
		}
		s.send(reply.Append(nil), netip.AddrPortFrom(key.remote, m.cfg.Port), now)
	}
	m.report(e, now)
	if e.nextRound(now).Before(expected) { // else the timer is early enough, as mostly
		m.wake.Up()
	}
}

func (m *Monitor) handleEcho(key sessionKey, reply echo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.sessions[key]
	if e == nil || e.localDiscr != reply.discriminator {
		return
	}
	now := time.Now()
	if e.quality.handleReply(reply.sequence, now) {
		e.noteActivity(now)
	}
}

// closeBroken notes that one of a socket's connections cannot be read any more.
func (m *Monitor) closeBroken(s *socket) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.conn != nil { // else we closed it ourselves
		s.close()
		m.wake.Up()
	}
}

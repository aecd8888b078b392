package liveness

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// openSockets opens the sockets that sessions need and closes the others. Opening
// may block, so it does not hold the lock. Only Run's goroutine calls it.
func (m *Monitor) openSockets(ctx context.Context, receivers *sync.WaitGroup) {
	for _, key := range m.wantedSockets(time.Now()) {
		control, err := m.cfg.Network.Listen(ctx, netip.AddrPortFrom(key.local, m.cfg.Port), key.device)
		if err != nil {
			m.failedToOpen(key, err)
			continue
		}
		echoes, err := m.cfg.Network.ListenEcho(ctx, key.local, key.device)
		if err != nil {
			m.log.Warn("failed to open an echo socket; round-trip times are not measured", "device", key.device, "err", err)
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
		m.log.Warn("failed to open a liveness socket; retrying", "address", key.local.String(), "device", key.device, "err", err)
	}
}

func (m *Monitor) closeSockets() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sockets.close()
}

// receiveControl handles control packets until reading fails or the socket is closed.
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
			m.log.Debug("dropped an invalid liveness packet", "address", from.String(), "err", err)
			continue
		}
		m.handleControl(sessionKey{key, from.Addr().Unmap()}, s, p)
	}
}

func (m *Monitor) handleControl(key sessionKey, s *socket, p Control) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// WireGuard has authenticated the source address, so it identifies the
	// session. receive also checks the discriminator.
	e := m.sessions[key]
	if e == nil {
		return
	}
	now := time.Now()
	expected := e.nextRound(now)
	e.copies.receive(p, e.localDiscr, now)
	if e.receive(p, now) {
		reply := e.packet()
		if reply.Final = p.Poll; reply.Final {
			reply.Poll = false // never both (section 6.5); the next packet has our poll
		}
		s.send(reply.Append(nil), netip.AddrPortFrom(key.remote, m.cfg.Port), now)
	}
	m.report(e, now)
	if e.nextRound(now).Before(expected) { // otherwise the timer is early enough
		m.wake.Notify()
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

// closeBroken closes a socket after reading from one of its connections failed.
func (m *Monitor) closeBroken(s *socket) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.conn != nil { // otherwise it was closed already
		s.close()
		m.wake.Notify()
	}
}

package liveness

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// openRetry is the time between attempts to open a socket, and how long
// sending may fail before the socket is opened anew: an interface that was
// made again is another one for a socket that is bound to it.
const openRetry = time.Second

// maxPacket is enough for any control packet (RFC 5880: length is one byte).
const maxPacket = 256

// socketKey is what sockets are opened for.
type socketKey struct {
	local  netip.Addr
	device string
}

// socket is the pair of connections of one local address and device.
type socket struct {
	control PacketConn // nil: could not be opened
	echo    PacketConn // nil: could not be opened
	tried   time.Time  // when opening was tried last
	failing time.Time  // since when sending fails; zero: it does not
	problem string     // of the last attempt, so that it is logged once
}

// openSockets opens what sessions need and closes what none needs. It may
// block in the network, hence without the lock; only Run's goroutine calls it.
func (m *Monitor) openSockets(ctx context.Context, receivers *sync.WaitGroup) {
	for _, key := range m.wantedSockets(time.Now()) {
		control, err := m.cfg.Network.Listen(ctx, netip.AddrPortFrom(key.local, m.cfg.Port), key.device)
		if err != nil {
			m.failedToOpen(key, err)
			continue
		}
		echo, err := m.cfg.Network.ListenEcho(ctx, key.local, key.device)
		if err != nil {
			m.log.Warn("no echoes: round-trip times are not measured", "interface", key.device, "err", err)
			echo = nil
		}
		m.mu.Lock()
		s := &socket{control: control, echo: echo, tried: time.Now()}
		m.sockets[key] = s
		m.mu.Unlock()
		receivers.Go(func() { m.receiveControl(key, s, control) })
		if echo != nil {
			receivers.Go(func() { m.receiveEchoes(key, s, echo) })
		}
	}
}

// wantedSockets closes sockets that are broken or not needed and returns
// those to be opened now.
func (m *Monitor) wantedSockets(now time.Time) []socketKey {
	m.mu.Lock()
	defer m.mu.Unlock()
	need := map[socketKey]bool{}
	for key := range m.sessions {
		need[key.socketKey] = true
	}
	for key, s := range m.sockets {
		if !need[key] {
			s.close()
			delete(m.sockets, key)
		} else if s.control != nil && !s.failing.IsZero() && now.Sub(s.failing) >= openRetry {
			s.close()
		}
	}
	var open []socketKey
	for key := range need {
		if s := m.sockets[key]; s == nil || s.control == nil && now.Sub(s.tried) >= openRetry {
			open = append(open, key)
		}
	}
	return open
}

func (m *Monitor) failedToOpen(key socketKey, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sockets[key]
	if s == nil {
		s = &socket{}
		m.sockets[key] = s
	}
	s.tried = time.Now()
	if s.problem != err.Error() {
		s.problem = err.Error()
		m.log.Warn("liveness cannot listen yet", "address", key.local.String(), "interface", key.device, "err", err)
	}
}

// receiveControl takes packets until the socket is closed or breaks.
func (m *Monitor) receiveControl(key socketKey, s *socket, conn PacketConn) {
	buf := make([]byte, maxPacket)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			m.broke(s)
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
		m.poke()
	}
}

// receiveEchoes takes echo replies until the socket is closed or breaks.
func (m *Monitor) receiveEchoes(key socketKey, s *socket, conn PacketConn) {
	buf := make([]byte, maxPacket)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			m.broke(s)
			return
		}
		if reply, ok := parseEcho(buf[:n]); ok {
			m.handleEcho(sessionKey{key, from.Addr().Unmap()}, reply)
		}
	}
}

func (m *Monitor) handleEcho(key sessionKey, reply echo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.sessions[key]
	if e == nil || e.local != reply.discriminator {
		return
	}
	now := time.Now()
	if e.quality.answer(reply.sequence, now) {
		e.alive(now)
	}
}

// broke notes that one of a socket's connections cannot be read any more.
func (m *Monitor) broke(s *socket) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.control != nil { // else we closed it ourselves
		s.close()
		m.poke()
	}
}

func (m *Monitor) closeSockets() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, s := range m.sockets {
		s.close()
		delete(m.sockets, key)
	}
}

// send sends a control packet; the caller holds the monitor's mu.
func (s *socket) send(b []byte, to netip.AddrPort, now time.Time) {
	if s.control == nil {
		return
	}
	if err := s.control.WriteTo(b, to); err == nil {
		s.failing = time.Time{}
	} else if s.failing.IsZero() {
		s.failing = now
	}
}

// close ends the receivers. What goes wrong here has no consequence.
func (s *socket) close() {
	for _, c := range []PacketConn{s.control, s.echo} {
		if c != nil {
			_ = c.Close()
		}
	}
	s.control, s.echo, s.failing, s.tried = nil, nil, time.Time{}, time.Now()
}

// retryAt is when the socket needs to be looked at.
func (s *socket) retryAt(now time.Time) time.Time {
	switch {
	case s.control == nil:
		return s.tried.Add(openRetry)
	case !s.failing.IsZero():
		return s.failing.Add(openRetry)
	}
	return now.Add(slowInterval)
}

package liveness

import (
	"net/netip"
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

// socket is what is open for one local address and device.
type socket struct {
	conn      PacketConn // nil: could not be opened
	echo      PacketConn // beside it; nil: there is none
	tried     time.Time  // when opening was tried last
	failing   time.Time  // since when sending fails; zero: it does not
	lastError string     // of the last attempt, so that it is logged once
}

// sockets are those that are open, or could not be opened. Who owns them guards them.
type sockets map[socketKey]*socket

// reconcile closes those that are broken or not needed and returns those to be
// opened now.
func (s sockets) reconcile(need map[socketKey]bool, now time.Time) []socketKey {
	for key, have := range s {
		if !need[key] {
			have.close()
			delete(s, key)
		} else if !have.failing.IsZero() && now.Sub(have.failing) >= openRetry {
			have.close()
		}
	}
	var open []socketKey
	for key := range need {
		if have := s[key]; have == nil || have.conn == nil && now.Sub(have.tried) >= openRetry {
			open = append(open, key)
		}
	}
	return open
}

// recordFailure notes that a socket could not be opened, and tells whether that is news.
func (s sockets) recordFailure(key socketKey, err error) bool {
	have := s[key]
	if have == nil {
		have = &socket{}
		s[key] = have
	}
	news := have.lastError != err.Error()
	have.tried, have.lastError = time.Now(), err.Error()
	return news
}

func (s sockets) close() {
	for key, have := range s {
		have.close()
		delete(s, key)
	}
}

// send notes whether the socket still can: a lost packet is what sessions and
// echoes are there to find.
func (s *socket) send(b []byte, to netip.AddrPort, now time.Time) {
	if s.conn == nil {
		return
	}
	if err := s.conn.WriteTo(b, to); err == nil {
		s.failing = time.Time{}
	} else if s.failing.IsZero() {
		s.failing = now
	}
}

// close ends the receivers. What goes wrong here has no consequence.
func (s *socket) close() {
	for _, c := range []PacketConn{s.conn, s.echo} {
		if c != nil {
			_ = c.Close()
		}
	}
	s.conn, s.echo, s.failing, s.tried = nil, nil, time.Time{}, time.Now()
}

// retryAt is when the socket needs to be looked at.
func (s *socket) retryAt(now time.Time) time.Time {
	switch {
	case s.conn == nil:
		return s.tried.Add(openRetry)
	case !s.failing.IsZero():
		return s.failing.Add(openRetry)
	}
	return now.Add(slowTxInterval)
}

// readEchoes takes echo replies until conn is closed or breaks.
func readEchoes(conn PacketConn, handle func(from netip.Addr, reply echo)) {
	buf := make([]byte, maxPacket)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if reply, ok := parseEcho(buf[:n]); ok {
			handle(from.Addr().Unmap(), reply)
		}
	}
}

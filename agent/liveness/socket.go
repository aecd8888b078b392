package liveness

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// openRetry is the time between attempts to open a socket. It is also the time for
// which sending may fail before the socket is reopened: a socket stays bound to an
// interface that was removed, even if an interface of the same name is created.
const openRetry = time.Second

// maxPacket is the maximum size of a control packet (RFC 5880: its length is one byte).
const maxPacket = 256

// PortInUseError is the error of a socket that cannot be opened because a process has
// the port on all addresses.
type PortInUseError struct {
	Port  uint16
	Owner string // "process 77 (bfdd)"
}

func (e *PortInUseError) Error() string {
	return fmt.Sprintf("UDP port %d is in use by %s", e.Port, e.Owner)
}

// socketKey identifies a socket.
type socketKey struct {
	local  netip.Addr
	device string
}

// socket has the connections of one local address and device.
type socket struct {
	conn      PacketConn // nil: not open
	echo      PacketConn // for echoes in addition to conn; nil: none
	tried     time.Time  // of the last attempt to open it
	failing   time.Time  // of the first of the failed sends in a row; zero: the last succeeded
	lastError error      // of the last attempt to open it, so that it is logged once; nil: it was opened
}

// sockets has the sockets that are open or failed to open. Its owner synchronises
// access.
type sockets map[socketKey]*socket

// reconcile closes the sockets that are broken or not needed, and returns the keys
// of those to open now.
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

// recordFailure records that a socket could not be opened, and reports whether err
// differs from the last one.
func (s sockets) recordFailure(key socketKey, err error) bool {
	have := s[key]
	if have == nil {
		have = &socket{}
		s[key] = have
	}
	changed := have.lastError == nil || have.lastError.Error() != err.Error()
	have.tried, have.lastError = time.Now(), err
	return changed
}

// portOwner returns the process that keeps a socket from being opened; empty: none does.
func (s sockets) portOwner(key socketKey) string {
	var inUse *PortInUseError
	if have := s[key]; have != nil && have.conn == nil && errors.As(have.lastError, &inUse) {
		return inUse.Owner
	}
	return ""
}

func (s sockets) close() {
	for key, have := range s {
		have.close()
		delete(s, key)
	}
}

// send sends a packet and records whether that failed. It returns no error, because
// sessions and echoes detect lost packets.
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

// close closes the connections, which ends their receivers. Errors are ignored,
// because the connections are not used any longer.
func (s *socket) close() {
	for _, c := range []PacketConn{s.conn, s.echo} {
		if c != nil {
			_ = c.Close()
		}
	}
	s.conn, s.echo, s.failing, s.tried = nil, nil, time.Time{}, time.Now()
}

// retryAt returns when the socket should next be opened or closed.
func (s *socket) retryAt(now time.Time) time.Time {
	switch {
	case s.conn == nil:
		return s.tried.Add(openRetry)
	case !s.failing.IsZero():
		return s.failing.Add(openRetry)
	}
	return now.Add(slowTxInterval)
}

// readEchoes calls handle for every echo reply until reading from conn fails.
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

package control

import (
	"context"
	"net"
	"sync"
	"time"
)

// session is one open connection with what its handshake proved.
type session struct {
	raw    net.Conn // below TLS
	proof  proof
	serves bool      // we answer calls on it, each of which is authorised anew
	ended  time.Time // since when its peer is no member any more; guarded by sessions.mu
}

// sessions holds the open connections of the control port, both those that were
// accepted and those that were dialled, so that trust that ends, ends them.
type sessions struct {
	mu     sync.Mutex // guards all following fields
	open   map[*tracked]*session
	closed bool
}

func newSessions() *sessions { return &sessions{open: make(map[*tracked]*session)} }

// tracked is a connection below TLS that leaves the set when it is closed.
type tracked struct {
	net.Conn
	set    *sessions
	once   sync.Once
	closed func() // may be nil
}

// Close closes the connection once.
func (c *tracked) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		err = c.Conn.Close()
		c.set.remove(c)
		if c.closed != nil {
			c.closed()
		}
	})
	return err
}

// track puts a connection under watch, as that of a stranger until add.
func (s *sessions) track(conn net.Conn, closed func()) *tracked {
	return &tracked{Conn: conn, set: s, closed: closed}
}

// add says what the handshake on c proved. It closes c if all are being closed.
func (s *sessions) add(c *tracked, p proof, serves bool) {
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.open[c] = &session{raw: c, proof: p, serves: serves}
	}
	s.mu.Unlock()
	if closed {
		_ = c.Close() // closing is all that is wanted
	}
}

// find returns the session of a connection below TLS.
func (s *sessions) find(conn net.Conn) (*session, bool) {
	c, ok := conn.(*tracked)
	if !ok {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	session, ok := s.open[c]
	return session, ok
}

func (s *sessions) remove(c *tracked) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// cut closes the connections that match and returns how many those were. It
// closes below TLS: a goodbye to a peer that does not read would only take time.
func (s *sessions) cut(match func(*session) bool) int {
	var matching []net.Conn
	s.mu.Lock()
	for _, session := range s.open {
		if match(session) {
			matching = append(matching, session.raw)
		}
	}
	s.mu.Unlock()
	for _, conn := range matching {
		_ = conn.Close() // closing is all that is wanted
	}
	return len(matching)
}

// close closes all connections, those that come later too.
func (s *sessions) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cut(func(*session) bool { return true })
}

type sessionKey struct{}

func withSession(ctx context.Context, s *session) context.Context {
	return context.WithValue(ctx, sessionKey{}, s)
}

func sessionFrom(ctx context.Context) (*session, bool) {
	s, ok := ctx.Value(sessionKey{}).(*session)
	return s, ok
}

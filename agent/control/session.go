package control

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshway/meshway/agent/control/internal/limit"
)

// Bounds of the accepted connections whose peers are verified members of one datacenter,
// which may have 63 gateways. A new one replaces the oldest: that of a member that was
// restarted may be dead.
const (
	maxStreams = 64  // of raft, which needs half a MiB for each
	maxCallers = 256 // for calls
)

// session is an open connection and the result of its handshake.
type session struct {
	raw    net.Conn    // below TLS
	slot   *limit.Slot // of an accepted connection
	proof  proof
	serves bool      // this gateway serves calls on it and authorises each of them
	ended  time.Time // when its peer was first seen not to be a member; guarded by sessions.mu
	order  uint64    // of add
}

// alike reports whether two connections count towards the same bound.
func (s *session) alike(other *session) bool {
	return s.slot != nil && other.slot != nil && s.proof.member && other.proof.member &&
		s.serves == other.serves && s.proof.peer.Datacenter == other.proof.peer.Datacenter
}

// sessions is the set of open connections of the control port, accepted and
// dialled, so that the end of a membership closes them.
type sessions struct {
	mu     sync.Mutex // guards all following fields
	open   map[*trackedConn]*session
	added  uint64
	closed bool
}

func newSessions() *sessions { return &sessions{open: make(map[*trackedConn]*session)} }

// trackedConn is a connection below TLS that leaves the set when it is closed.
type trackedConn struct {
	net.Conn
	set     *sessions
	once    sync.Once
	onClose func()      // may be nil
	silence *time.Timer // closes a connection on which nothing arrives; may be nil
	slot    *limit.Slot // of an accepted connection
	spoke   atomic.Bool
}

// Read reads and, at the first bytes, ends the limit on the silence of the peer.
func (c *trackedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && c.silence != nil && c.spoke.CompareAndSwap(false, true) {
		c.silence.Stop()
	}
	return n, err
}

// Close closes the connection once.
func (c *trackedConn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		err = c.Conn.Close()
		if c.silence != nil {
			c.silence.Stop()
		}
		c.set.remove(c)
		if c.onClose != nil {
			c.onClose()
		}
	})
	return err
}

// accepted returns an accepted conn as one that add can add to the set. It returns
// the slot when it is closed, and is closed if nothing arrives for firstByteTimeout.
func (s *sessions) accepted(conn net.Conn, slot *limit.Slot) *trackedConn {
	c := &trackedConn{Conn: conn, set: s, onClose: slot.Release, slot: slot}
	c.silence = time.AfterFunc(firstByteTimeout, func() { _ = conn.Close() }) // ends the handshake
	return c
}

// track returns conn as one that add can add to the set. onClose, which may be
// nil, is called when it is closed.
func (s *sessions) track(conn net.Conn, onClose func()) *trackedConn {
	return &trackedConn{Conn: conn, set: s, onClose: onClose}
}

// add adds c with the result of its handshake, and closes the connection that it replaces.
// It closes c if the set is closed.
func (s *sessions) add(c *trackedConn, p proof, serves bool) {
	s.mu.Lock()
	surplus := c
	if !s.closed {
		s.added++
		next := &session{raw: c, slot: c.slot, proof: p, serves: serves, order: s.added}
		s.open[c] = next
		surplus = s.surplus(next)
	}
	s.mu.Unlock()
	if surplus != nil {
		_ = surplus.Close() // an error changes nothing
	}
}

// surplus removes the oldest connection that counts towards the bound of next if there are
// too many, and returns it for its closing; otherwise nil. The caller holds s.mu.
func (s *sessions) surplus(next *session) *trackedConn {
	most, count := maxStreams, 0
	if next.serves {
		most = maxCallers
	}
	var oldest *trackedConn
	for c, other := range s.open {
		if !other.alike(next) {
			continue
		}
		count++
		if oldest == nil || other.order < s.open[oldest].order {
			oldest = c
		}
	}
	if count <= most {
		return nil
	}
	delete(s.open, oldest) // not in Close: until then others would choose it again
	return oldest
}

// find returns the session of a connection below TLS.
func (s *sessions) find(conn net.Conn) (*session, bool) {
	c, ok := conn.(*trackedConn)
	if !ok {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	session, ok := s.open[c]
	return session, ok
}

func (s *sessions) remove(c *trackedConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// closeIf closes the connections that match and returns their number. It closes
// them below TLS: a TLS alert to a peer that does not read would block.
func (s *sessions) closeIf(match func(*session) bool) int {
	var matching []net.Conn
	s.mu.Lock()
	for _, session := range s.open {
		if match(session) {
			matching = append(matching, session.raw)
		}
	}
	s.mu.Unlock()
	for _, conn := range matching {
		_ = conn.Close() // an error changes nothing
	}
	return len(matching)
}

// close closes all connections, and those that are added later.
func (s *sessions) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.closeIf(func(*session) bool { return true })
}

type sessionKey struct{}

func withSession(ctx context.Context, s *session) context.Context {
	return context.WithValue(ctx, sessionKey{}, s)
}

func sessionFrom(ctx context.Context) (*session, bool) {
	s, ok := ctx.Value(sessionKey{}).(*session)
	return s, ok
}

package controltest

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// window is how much may be on the way in one direction, bytes: as with TCP a
// writer waits for a reader that is slower, but two that write at once do not
// wait for each other.
const window = 256 << 10

// stream is one direction of a connection.
type stream struct {
	fabric *Fabric
	link   link

	mu      sync.Mutex // guards all following fields
	data    []byte
	closed  bool  // by the writer: the reader gets what is left, then EOF
	broken  error // by a reset
	changed chan struct{}
}

func newStream(f *Fabric, l link) *stream {
	return &stream{fabric: f, link: l, changed: make(chan struct{})}
}

// wake tells both ends to look again; s.mu is held.
func (s *stream) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.wake()
}

func (s *stream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = err
	}
	s.wake()
}

// read takes what is there if the link passes; n is 0 and err nil if it has to wait.
func (s *stream) read(p []byte, passes bool) (n int, changed <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !passes:
		return 0, s.changed, nil
	case s.broken != nil:
		return 0, nil, s.broken
	case len(s.data) > 0:
		n = copy(p, s.data)
		s.data = s.data[n:]
		s.wake()
		return n, nil, nil
	case s.closed:
		return 0, nil, io.EOF
	}
	return 0, s.changed, nil
}

// write puts in what fits. A reset is heard of if the way back passes.
func (s *stream) write(p []byte, hears bool) (n int, changed <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil && hears {
		return 0, nil, s.broken
	}
	if s.closed {
		return 0, nil, net.ErrClosed
	}
	n = min(len(p), window-len(s.data))
	if n > 0 {
		s.data = append(s.data, p[:n]...)
		s.wake()
	}
	return n, s.changed, nil
}

// conn is one end of a connection.
type conn struct {
	in, out       *stream
	local, remote net.Addr
	readLimit     deadline
	writeLimit    deadline
	once          sync.Once
	done          chan struct{}
	forget        func() // set before use
}

// pair makes the two ends of a connection.
func (f *Fabric) pair(there, back link, source, target netip.AddrPort) (near, far *conn) {
	forth, home := newStream(f, there), newStream(f, back)
	near = newConn(home, forth, source, target)
	far = newConn(forth, home, target, source)
	return near, far
}

func newConn(in, out *stream, local, remote netip.AddrPort) *conn {
	return &conn{
		in: in, out: out, local: net.TCPAddrFromAddrPort(local), remote: net.TCPAddrFromAddrPort(remote),
		readLimit: newDeadline(), writeLimit: newDeadline(), done: make(chan struct{}), forget: func() {},
	}
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	for {
		if err := c.over(&c.readLimit); err != nil {
			return 0, err
		}
		passes, linkChanged := c.in.fabric.passes(c.in.link)
		n, changed, err := c.in.read(p, passes)
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		c.wait(&c.readLimit, changed, linkChanged)
	}
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	written := 0
	for {
		if err := c.over(&c.writeLimit); err != nil {
			return written, err
		}
		hears, linkChanged := c.in.fabric.passes(c.in.link)
		n, changed, err := c.out.write(p[written:], hears)
		written += n
		if written == len(p) || err != nil {
			return written, err
		}
		if n == 0 {
			c.wait(&c.writeLimit, changed, linkChanged)
		}
	}
}

// over says whether the connection or its time has ended.
func (c *conn) over(d *deadline) error {
	select {
	case <-c.done:
		return net.ErrClosed
	case <-d.passed():
		return os.ErrDeadlineExceeded
	default:
		return nil
	}
}

func (c *conn) wait(d *deadline, changed, linkChanged <-chan struct{}) {
	select {
	case <-changed:
	case <-linkChanged:
	case <-d.passed():
	case <-c.done:
	}
}

// Close implements net.Conn: the other end reads what was written, then EOF.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		err = nil
		close(c.done)
		c.out.close()
		c.in.fail(syscall.ECONNRESET) // nobody reads any more
		c.forget()
	})
	return err
}

// reset ends both directions at once.
func (c *conn) reset() {
	c.out.fail(syscall.ECONNRESET)
	c.in.fail(syscall.ECONNRESET)
	_ = c.Close() // closed is what it is to be
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.readLimit.set(t)
	c.writeLimit.set(t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.readLimit.set(t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.writeLimit.set(t)
	return nil
}

// deadline closes a channel when a point in time is reached.
type deadline struct {
	mu    sync.Mutex // guards all following fields
	timer *time.Timer
	at    chan struct{}
}

func newDeadline() deadline { return deadline{at: make(chan struct{})} }

func (d *deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	// A channel of its own for each deadline; who waits for the one before is
	// woken and looks again.
	old := d.at
	d.at = make(chan struct{})
	select {
	case <-old:
	default:
		close(old)
	}
	if t.IsZero() {
		return
	}
	at := d.at
	if remaining := time.Until(t); remaining > 0 {
		d.timer = time.AfterFunc(remaining, func() { d.expire(at) })
		return
	}
	close(at)
}

// expire closes at if it is still the one that counts: set closes it otherwise.
func (d *deadline) expire(at chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at != at {
		return
	}
	select {
	case <-at:
	default:
		close(at)
	}
}

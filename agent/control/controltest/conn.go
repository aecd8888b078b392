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

// window limits the bytes in flight in one direction. As with TCP, a writer waits
// for a slower reader, but two ends that write at the same time do not wait for
// each other.
const window = 256 << 10

// stream is one direction of a connection.
type stream struct {
	fabric *Fabric
	link   link

	mu      sync.Mutex // guards all following fields
	data    []byte
	closed  bool  // by the writer: the reader reads the remaining data, then EOF
	broken  error // the error after a reset
	changed chan struct{}
}

func newStream(f *Fabric, l link) *stream {
	return &stream{fabric: f, link: l, changed: make(chan struct{})}
}

// notify makes both ends check the stream again. The caller holds s.mu.
func (s *stream) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.notify()
}

func (s *stream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = err
	}
	s.notify()
}

// read reads available data if the link passes packets. It returns 0 and a nil error
// if the reader has to wait for changed.
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
		s.notify()
		return n, nil, nil
	case s.closed:
		return 0, nil, io.EOF
	}
	return 0, s.changed, nil
}

// write writes what fits into the window. It returns the error of a reset only if
// backPasses: the reset comes over the other direction.
func (s *stream) write(p []byte, backPasses bool) (n int, changed <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil && backPasses {
		return 0, nil, s.broken
	}
	if s.closed {
		return 0, nil, net.ErrClosed
	}
	n = min(len(p), window-len(s.data))
	if n > 0 {
		s.data = append(s.data, p[:n]...)
		s.notify()
	}
	return n, s.changed, nil
}

// conn is one end of a connection.
type conn struct {
	in, out       *stream
	local, remote net.Addr
	readDeadline  deadline
	writeDeadline deadline
	once          sync.Once
	done          chan struct{}
	onClose       func() // set before use
}

// pair returns the two ends of a connection.
func (f *Fabric) pair(there, back link, source, target netip.AddrPort) (near, far *conn) {
	request, response := newStream(f, there), newStream(f, back)
	near = newConn(response, request, source, target)
	far = newConn(request, response, target, source)
	return near, far
}

func newConn(in, out *stream, local, remote netip.AddrPort) *conn {
	return &conn{
		in: in, out: out, local: net.TCPAddrFromAddrPort(local), remote: net.TCPAddrFromAddrPort(remote),
		readDeadline: newDeadline(), writeDeadline: newDeadline(), done: make(chan struct{}), onClose: func() {},
	}
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	for {
		if err := c.ended(&c.readDeadline); err != nil {
			return 0, err
		}
		passes, linkChanged := c.in.fabric.passes(c.in.link)
		n, changed, err := c.in.read(p, passes)
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		c.wait(&c.readDeadline, changed, linkChanged)
	}
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	written := 0
	for {
		if err := c.ended(&c.writeDeadline); err != nil {
			return written, err
		}
		backPasses, linkChanged := c.in.fabric.passes(c.in.link)
		n, changed, err := c.out.write(p[written:], backPasses)
		written += n
		if written == len(p) || err != nil {
			return written, err
		}
		if n == 0 {
			c.wait(&c.writeDeadline, changed, linkChanged)
		}
	}
}

// ended returns an error if the connection is closed or the deadline has passed.
func (c *conn) ended(d *deadline) error {
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

// Close implements net.Conn. The other end reads what was written, then EOF.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		err = nil
		close(c.done)
		c.out.close()
		c.in.fail(syscall.ECONNRESET) // this end no longer reads
		c.onClose()
	})
	return err
}

// reset closes both directions at once with an error.
func (c *conn) reset() {
	c.out.fail(syscall.ECONNRESET)
	c.in.fail(syscall.ECONNRESET)
	_ = c.Close() // it may be closed already
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.readDeadline.set(t)
	c.writeDeadline.set(t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.readDeadline.set(t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.writeDeadline.set(t)
	return nil
}

// deadline closes a channel at a point in time.
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
	// Each deadline has its own channel. Waiters for the previous one wake up and
	// check again.
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

// expire closes at if it is the current channel: set has closed it otherwise.
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

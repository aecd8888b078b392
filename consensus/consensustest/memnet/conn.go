package memnet

import (
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Conn is one end of a stream.
type Conn struct {
	in, out       *stream
	local, remote net.Addr
	readDeadline  deadline
	writeDeadline deadline
	once          sync.Once
	done          chan struct{}

	// OnClose, if set before the connection is used, is called once by Close.
	OnClose func()
}

var _ net.Conn = (*Conn)(nil)

// Pipe returns the two ends of a stream: what near writes goes over there, and
// what far writes goes over back. local and remote are the addresses of near.
func Pipe(there, back Link, local, remote net.Addr) (near, far *Conn) {
	request, response := newStream(there), newStream(back)
	return newConn(response, request, local, remote), newConn(request, response, remote, local)
}

func newConn(in, out *stream, local, remote net.Addr) *Conn {
	return &Conn{
		in:            in,
		out:           out,
		local:         local,
		remote:        remote,
		readDeadline:  newDeadline(),
		writeDeadline: newDeadline(),
		done:          make(chan struct{}),
		OnClose:       func() {},
	}
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		if err := c.ended(&c.readDeadline); err != nil {
			return 0, err
		}
		whole, _, linkChanged := c.in.link.State()
		n, again, err := c.in.read(p, whole)
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		c.wait(&c.readDeadline, again, linkChanged)
	}
}

// Write implements net.Conn. While the link is cut, what fits into the window is
// written; it arrives when the link is whole again.
func (c *Conn) Write(p []byte) (int, error) {
	c.out.link.Count()
	written := 0
	for {
		if err := c.ended(&c.writeDeadline); err != nil {
			return written, err
		}
		_, delay, _ := c.out.link.State()
		backWhole, _, linkChanged := c.in.link.State()
		n, again, err := c.out.write(p[written:], delay, backWhole)
		written += n
		if written == len(p) || err != nil {
			return written, err
		}
		if n == 0 {
			c.wait(&c.writeDeadline, again, linkChanged)
		}
	}
}

// ended returns an error if the connection is closed or the deadline has passed.
func (c *Conn) ended(d *deadline) error {
	select {
	case <-c.done:
		return net.ErrClosed
	case <-d.passed():
		return os.ErrDeadlineExceeded
	default:
		return nil
	}
}

// wait returns when a read or write may succeed or has to end.
func (c *Conn) wait(d *deadline, again retry, linkChanged <-chan struct{}) {
	var due <-chan time.Time
	if !again.at.IsZero() {
		timer := time.NewTimer(time.Until(again.at))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
	case <-again.changed:
	case <-linkChanged:
	case <-d.passed():
	case <-c.done:
	}
}

// Close implements net.Conn. The other end reads what was written, then EOF.
func (c *Conn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		err = nil
		close(c.done)
		c.out.close()
		c.in.fail(syscall.ECONNRESET) // this end no longer reads
		c.OnClose()
	})
	return err
}

// Reset closes both directions at once with an error, as the end of a process does.
func (c *Conn) Reset() {
	c.out.fail(syscall.ECONNRESET)
	c.in.fail(syscall.ECONNRESET)
	_ = c.Close() // it may be closed already
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	c.readDeadline.set(t)
	c.writeDeadline.set(t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.readDeadline.set(t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.writeDeadline.set(t)
	return nil
}

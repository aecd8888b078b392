package consensustest

import (
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// window is how much may be under way in one direction of a stream, in bytes.
const window = 4 << 20

// pipe makes a stream between two hosts.
func (n *Network) pipe(a, b catalog.GatewayID) (net.Conn, net.Conn) {
	ab := newFlow(n, direction{a, b})
	ba := newFlow(n, direction{b, a})
	return newConn(ba, ab), newConn(ab, ba)
}

// flow is one direction of a stream.
type flow struct {
	network *Network
	way     direction

	mu      sync.Mutex // guards all following fields
	chunks  []chunk
	size    int
	ended   bool          // the writer is closed: EOF follows the chunks
	dropped bool          // the reader is closed
	changed chan struct{} // closed at any change of the above
}

type chunk struct {
	data []byte
	at   time.Time // when it arrives, on a whole link
}

func newFlow(n *Network, way direction) *flow {
	return &flow{network: n, way: way, changed: make(chan struct{})}
}

// update runs f and wakes those who wait.
func (f *flow) update(g func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g()
	close(f.changed)
	f.changed = make(chan struct{})
}

// take reads what has arrived. Without error and data, look again when a channel
// is closed or at a time, whichever comes first.
func (f *flow) take(b []byte) (n int, again []<-chan struct{}, at time.Time, err error) {
	whole, _, links := f.network.whole(f.way)
	f.mu.Lock()
	defer f.mu.Unlock()
	again = []<-chan struct{}{f.changed, links}
	switch {
	case f.dropped:
		return 0, nil, at, net.ErrClosed
	case !whole:
		return 0, again, at, nil
	case len(f.chunks) == 0 && f.ended:
		return 0, nil, at, io.EOF
	case len(f.chunks) == 0:
		return 0, again, at, nil
	case time.Now().Before(f.chunks[0].at):
		return 0, again, f.chunks[0].at, nil
	}
	n = copy(b, f.chunks[0].data)
	f.chunks[0].data = f.chunks[0].data[n:]
	f.size -= n
	if len(f.chunks[0].data) == 0 {
		f.chunks = f.chunks[1:]
	}
	close(f.changed) // there is room
	f.changed = make(chan struct{})
	return n, nil, at, nil
}

// put sends b whole, or says when to look again.
func (f *flow) put(b []byte) (sent bool, again <-chan struct{}, err error) {
	_, delay, _ := f.network.whole(f.way)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.ended:
		return false, nil, net.ErrClosed
	case f.dropped:
		return false, nil, io.ErrClosedPipe
	case f.size > 0 && f.size+len(b) > window:
		return false, f.changed, nil
	}
	f.chunks = append(f.chunks, chunk{data: append([]byte(nil), b...), at: time.Now().Add(delay)})
	f.size += len(b)
	close(f.changed)
	f.changed = make(chan struct{})
	return true, nil, nil
}

// conn is one end of a stream.
type conn struct {
	in, out     *flow
	read, write *deadline
}

var _ net.Conn = (*conn)(nil)

func newConn(in, out *flow) *conn {
	return &conn{in: in, out: out, read: newDeadline(), write: newDeadline()}
}

func (c *conn) Read(b []byte) (int, error) {
	for {
		limit, moved := c.read.get()
		if passed(limit) {
			return 0, os.ErrDeadlineExceeded
		}
		n, again, at, err := c.in.take(b)
		if n > 0 || err != nil || len(b) == 0 {
			return n, err
		}
		wait(earlier(limit, at), again[0], again[1], moved)
	}
}

func (c *conn) Write(b []byte) (int, error) {
	for {
		limit, moved := c.write.get()
		if passed(limit) {
			return 0, os.ErrDeadlineExceeded
		}
		sent, again, err := c.out.put(b)
		if err != nil {
			return 0, err
		}
		if sent {
			c.out.network.count(c.out.way)
			return len(b), nil
		}
		wait(limit, again, moved, nil)
	}
}

// Close ends both directions; what was written still arrives.
func (c *conn) Close() error {
	c.out.update(func() { c.out.ended = true })
	c.in.update(func() { c.in.dropped, c.in.chunks, c.in.size = true, nil, 0 })
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return addr(c.out.way.from) }
func (c *conn) RemoteAddr() net.Addr { return addr(c.out.way.to) }

func (c *conn) SetDeadline(t time.Time) error {
	c.read.set(t)
	c.write.set(t)
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.read.set(t)
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.write.set(t)
	return nil
}

// deadline is a time that may be moved while somebody waits for it.
type deadline struct {
	mu    sync.Mutex // guards all following fields
	at    time.Time
	moved chan struct{}
}

func newDeadline() *deadline { return &deadline{moved: make(chan struct{})} }

func (d *deadline) get() (time.Time, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at, d.moved
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = t
	close(d.moved)
	d.moved = make(chan struct{})
}

func passed(limit time.Time) bool { return !limit.IsZero() && !time.Now().Before(limit) }

// earlier gives the earlier of two times; the zero time is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// wait returns at the time or when one of the channels is closed.
func wait(at time.Time, a, b, c <-chan struct{}) {
	var due <-chan time.Time
	if !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
	case <-a:
	case <-b:
	case <-c:
	}
}

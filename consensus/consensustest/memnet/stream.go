package memnet

import (
	"io"
	"net"
	"sync"
	"time"
)

// window limits the bytes in flight in one direction. As with TCP, a writer waits
// for a slower reader, but two ends that write at the same time do not wait for
// each other.
const window = 256 << 10

// stream is one direction of a connection.
type stream struct {
	link Link

	mu      sync.Mutex // guards all following fields
	chunks  []chunk
	size    int   // of all chunks
	closed  bool  // by the writer: the reader reads the remaining data, then EOF
	broken  error // the error after a reset
	changed chan struct{}
}

// chunk is data of one write.
type chunk struct {
	data    []byte
	arrives time.Time // if the link is whole
}

// retry is when to repeat an operation that had to wait: when changed is closed,
// and at a time unless it is zero.
type retry struct {
	changed <-chan struct{}
	at      time.Time
}

func newStream(l Link) *stream { return &stream{link: l, changed: make(chan struct{})} }

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

// read reads what has arrived if the link is whole. It returns 0 and a nil error
// if the reader has to wait.
func (s *stream) read(p []byte, whole bool) (n int, again retry, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	again.changed = s.changed
	switch {
	case !whole:
		return 0, again, nil
	case s.broken != nil:
		return 0, again, s.broken
	case len(s.chunks) == 0 && s.closed:
		return 0, again, io.EOF
	case len(s.chunks) == 0:
		return 0, again, nil
	case time.Now().Before(s.chunks[0].arrives):
		again.at = s.chunks[0].arrives
		return 0, again, nil
	}
	first := &s.chunks[0]
	n = copy(p, first.data)
	first.data = first.data[n:]
	s.size -= n
	if len(first.data) == 0 {
		s.chunks = s.chunks[1:]
	}
	s.notify()
	return n, again, nil
}

// write writes what fits into the window. It returns the error of a reset only if
// backWhole: the reset comes over the other direction.
func (s *stream) write(p []byte, delay time.Duration, backWhole bool) (n int, again retry, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil && backWhole {
		return 0, again, s.broken
	}
	if s.closed {
		return 0, again, net.ErrClosed
	}
	n = min(len(p), window-s.size)
	if n > 0 {
		s.chunks = append(s.chunks, chunk{data: append([]byte(nil), p[:n]...), arrives: time.Now().Add(delay)})
		s.size += n
		s.notify()
	}
	again.changed = s.changed
	return n, again, nil
}

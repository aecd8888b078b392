package control

import (
	"context"
	"net"
	"sync"
)

// queue is a net.Listener of connections whose handshake is done.
type queue struct {
	addr  func() net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once // closes done
}

var _ net.Listener = (*queue)(nil)

func newQueue(addr func() net.Addr) *queue {
	return &queue{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

// deliver passes a connection to Accept. It closes the connection if the queue is
// closed or ctx ends first.
func (q *queue) deliver(ctx context.Context, conn net.Conn) {
	select {
	case q.conns <- conn:
	case <-q.done:
		_ = conn.Close() // never used
	case <-ctx.Done():
		_ = conn.Close() // never used
	}
}

// Accept implements net.Listener.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case conn := <-q.conns:
		return conn, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It may be called more than once.
func (q *queue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

// Addr implements net.Listener.
func (q *queue) Addr() net.Addr { return q.addr() }

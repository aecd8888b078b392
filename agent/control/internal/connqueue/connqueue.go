// Package connqueue passes accepted connections from their handshake to a server.
package connqueue

import (
	"context"
	"net"
	"sync"
)

// Queue is a net.Listener of connections whose handshake is done.
type Queue struct {
	addr  func() net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once // closes done
}

var _ net.Listener = (*Queue)(nil)

// New returns a queue; addr returns its address.
func New(addr func() net.Addr) *Queue {
	return &Queue{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

// Deliver passes a connection to Accept. It closes the connection if the queue is
// closed or ctx ends first.
func (q *Queue) Deliver(ctx context.Context, conn net.Conn) {
	select {
	case q.conns <- conn:
	case <-q.done:
		_ = conn.Close() // never used
	case <-ctx.Done():
		_ = conn.Close() // never used
	}
}

// Accept implements net.Listener.
func (q *Queue) Accept() (net.Conn, error) {
	select {
	case conn := <-q.conns:
		return conn, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It may be called more than once.
func (q *Queue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

// Addr implements net.Listener.
func (q *Queue) Addr() net.Addr { return q.addr() }

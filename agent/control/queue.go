package control

import (
	"context"
	"net"
	"sync"
)

// queue is a net.Listener of connections whose handshake is done.
type queue struct {
	addr   func() net.Addr
	conns  chan net.Conn
	done   chan struct{}
	finish sync.Once
}

var _ net.Listener = (*queue)(nil)

func newQueue(addr func() net.Addr) *queue {
	return &queue{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

// deliver hands over a connection, or closes it when nobody will take it.
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

// Close implements net.Listener; it is no error to close twice.
func (q *queue) Close() error {
	q.finish.Do(func() { close(q.done) })
	return nil
}

// Addr implements net.Listener.
func (q *queue) Addr() net.Addr { return q.addr() }

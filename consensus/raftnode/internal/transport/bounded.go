package transport

import (
	"errors"
	"net"
	"sync/atomic"
)

const (
	// smallMessage bounds answers, and the messages of a gateway without a vote: votes
	// and heartbeats have a few hundred bytes.
	smallMessage = 64 << 10
	// largeMessage bounds the messages of voters, whose entries have up to 128 MiB
	// together: MaxAppendEntries times proposals.MaxEntry.
	largeMessage = 256 << 20
	// readAhead is what raft reads of a stream at once.
	readAhead = 256 << 10
)

// errTooLong is the reason why a stream ends.
var errTooLong = errors.New("the message is too long")

// boundedStream fails when the other end sends more than one message may have. Raft
// decodes a message completely before it passes it on, and takes each length in it from
// its sender.
type boundedStream struct {
	net.Conn
	exceeded func() bool // is called beyond smallMessage; reports whether the other end may not send more
	most     int64       // bytes of a message
	read     atomic.Int64
}

// Read implements net.Conn.
func (b *boundedStream) Read(data []byte) (int, error) {
	n, err := b.Conn.Read(data)
	if read := b.read.Add(int64(n)); read > smallMessage+readAhead && (read > b.most+readAhead || b.exceeded()) {
		return 0, errors.Join(errTooLong, b.Close())
	}
	return n, err
}

// begin begins a message: what was read belongs to those before. Its content beside what
// raft decodes has size bytes.
func (b *boundedStream) begin(size int64) { b.read.Store(-size) }

// answered is a stream on which each message that is read answers one that was written.
type answered struct{ *boundedStream }

func newAnswered(conn net.Conn) answered {
	return answered{&boundedStream{Conn: conn, exceeded: func() bool { return true }, most: smallMessage}}
}

// Write implements net.Conn.
func (a answered) Write(data []byte) (int, error) {
	a.begin(0)
	return a.Conn.Write(data)
}

package userspace

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// Limits of a message that the kernel segments: the payload of an IP packet, and
// the number of segments (UDP_MAX_SEGMENTS).
const (
	maxPayload  = 1<<16 - 1 - 20 - 8
	maxSegments = 64
)

// Send implements conn.Bind. A datagram that is too large for the path is lost,
// as in a network; the others of the batch are sent.
func (b *bind) Send(datagrams [][]byte, to conn.Endpoint) error {
	e, ok := to.(*endpoint)
	if !ok {
		return conn.ErrWrongEndpointType
	}
	b.mu.Lock()
	s := b.v4
	if e.destination.Addr().Is6() {
		s = b.v6
	}
	b.mu.Unlock()
	if s == nil {
		return unix.EAFNOSUPPORT
	}
	from := e.currentSource()
	if from.addr.IsValid() && !b.sources.usable(e.destination.Addr(), from) {
		from = source{}
	}
	return s.sender.send(datagrams, e.destination, from)
}

// sender sends datagrams through one socket, with as few system calls as possible.
type sender struct {
	batch batchConn
	noGSO atomic.Bool // the kernel cannot segment messages on this host
	pool  sync.Pool   // of *messages
}

// messages are the reusable buffers of one call of send.
type messages struct {
	list []ipv6.Message
	to   net.UDPAddr
}

func (s *sender) send(datagrams [][]byte, to netip.AddrPort, from source) error {
	m, ok := s.pool.Get().(*messages)
	if !ok {
		m = &messages{list: make([]ipv6.Message, conn.IdealBatchSize)}
	}
	defer s.pool.Put(m)
	m.to.IP, m.to.Port = append(m.to.IP[:0], to.Addr().AsSlice()...), int(to.Port())
	m.to.Zone = to.Addr().Zone()
	list := m.coalesce(datagrams, from, !s.noGSO.Load())
	var first error
	for len(list) > 0 {
		n, err := s.batch.WriteBatch(list, 0)
		if err == nil {
			list = list[n:]
			continue
		}
		if err = s.sendEach(list[0], err); err != nil && first == nil {
			first = err
		}
		list = list[1:]
	}
	return first
}

// coalesce returns the messages for a batch: consecutive datagrams of equal size,
// of which the last may be smaller, are one message that the kernel segments.
func (m *messages) coalesce(datagrams [][]byte, from source, gso bool) []ipv6.Message {
	used := 0
	for len(datagrams) > 0 {
		n := 1
		if gso {
			n = segments(datagrams)
		}
		message := &m.list[used]
		message.Addr = &m.to
		message.Buffers = append(message.Buffers[:0], datagrams[:n]...)
		message.OOB = appendSource(message.OOB[:0], from)
		if n > 1 {
			message.OOB = appendSegmentSize(message.OOB, len(datagrams[0]))
		}
		datagrams = datagrams[n:]
		used++
	}
	return m.list[:used]
}

// segments returns how many of the first datagrams can be one message.
func segments(datagrams [][]byte) int {
	size := len(datagrams[0])
	total := size
	for n, d := range datagrams[1:] {
		total += len(d)
		if len(d) > size || total > maxPayload || n+1 == maxSegments {
			return n + 1
		}
		if len(d) < size { // a smaller one ends the message
			return n + 2
		}
	}
	return len(datagrams)
}

// sendEach sends the datagrams of a message that the kernel has refused one by
// one, without what may be the cause: the segmentation, and the source address,
// which may no longer exist.
func (s *sender) sendEach(refused ipv6.Message, cause error) error {
	single := len(refused.Buffers) == 1
	switch {
	case single && errors.Is(cause, unix.EMSGSIZE):
		return nil // it is lost
	case len(refused.OOB) == 0:
		return cause
	case !single && errors.Is(cause, unix.EIO):
		s.noGSO.Store(true) // the device of the route computes no checksums
	}
	var first error
	for _, d := range refused.Buffers {
		message := ipv6.Message{Addr: refused.Addr, Buffers: net.Buffers{d}}
		_, err := s.batch.WriteBatch([]ipv6.Message{message}, 0)
		if err != nil && !errors.Is(err, unix.EMSGSIZE) && first == nil {
			first = err
		}
	}
	return first
}

package userspace

import (
	"errors"
	"net"
	"net/netip"

	"golang.org/x/net/ipv6"
	"golang.zx2c4.com/wireguard/conn"
)

// receiver receives the datagrams of one socket. Only one goroutine uses it.
type receiver struct {
	socket *socket
	list   []ipv6.Message
	last   *endpoint // of the last datagram; the next one is most often the same
}

// receive is a conn.ReceiveFunc. With coalescing, it reads into the last buffers
// and spreads the datagrams over all of them, from the first on.
func (r *receiver) receive(buffers [][]byte, sizes []int, endpoints []conn.Endpoint) (int, error) {
	for len(r.list) < len(buffers) {
		r.list = append(r.list, ipv6.Message{Buffers: make(net.Buffers, 1), OOB: make([]byte, 0, controlSize)})
	}
	list := r.list[:len(buffers)]
	for i := range list {
		list[i].Buffers[0], list[i].OOB = buffers[i], list[i].OOB[:cap(list[i].OOB)]
		list[i].Addr, list[i].N, list[i].NN = nil, 0, 0
	}
	first := 0
	if r.socket.gro {
		first = max(len(list)-len(list)/maxSegments, 0)
	}
	read, err := r.socket.batch.ReadBatch(list[first:], 0)
	if err != nil {
		return 0, err
	}
	n := 0
	for i := first; i < first+read; i++ {
		if n, err = r.split(list[i], n, i, buffers, sizes, endpoints); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// split stores the datagrams of the message in buffer i from buffer n on, and
// returns the number of the next free buffer.
func (r *receiver) split(m ipv6.Message, n, i int, buffers [][]byte, sizes []int, endpoints []conn.Endpoint) (int, error) {
	from, size := parseControl(m.OOB[:m.NN])
	if size == 0 {
		size = m.N
	}
	e := r.endpoint(m.Addr.(*net.UDPAddr).AddrPort(), from)
	for data := m.Buffers[0][:m.N]; len(data) > 0; n++ {
		if n > i {
			return 0, errors.New("the kernel coalesced more datagrams than there are buffers")
		}
		datagram := data[:min(size, len(data))]
		data = data[len(datagram):]
		sizes[n], endpoints[n] = copy(buffers[n], datagram), e
	}
	return n, nil
}

// endpoint returns the endpoint of a datagram. It is the last one again if that
// is the same.
func (r *receiver) endpoint(sender netip.AddrPort, from source) *endpoint {
	sender = netip.AddrPortFrom(sender.Addr().Unmap(), sender.Port())
	if e := r.last; e != nil && e.destination == sender && e.source == from && !e.cleared.Load() {
		return e
	}
	r.last = &endpoint{destination: sender, source: from}
	return r.last
}

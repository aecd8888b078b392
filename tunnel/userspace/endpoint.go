package userspace

import (
	"net/netip"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// endpoint is the address of a peer, and the source from which it was reached
// last. Only the field cleared changes.
type endpoint struct {
	destination netip.AddrPort
	source      source
	cleared     atomic.Bool // the source must not be used any longer
}

var _ conn.Endpoint = (*endpoint)(nil)

// source is the local address and the device at which a datagram arrived. The
// zero value leaves the choice to the kernel.
type source struct {
	addr    netip.Addr
	ifindex int32
}

// ClearSrc implements conn.Endpoint.
func (e *endpoint) ClearSrc() { e.cleared.Store(true) }

// DstToString implements conn.Endpoint.
func (e *endpoint) DstToString() string { return e.destination.String() }

// DstToBytes implements conn.Endpoint.
func (e *endpoint) DstToBytes() []byte {
	b, _ := e.destination.MarshalBinary() // it never fails
	return b
}

// DstIP implements conn.Endpoint.
func (e *endpoint) DstIP() netip.Addr { return e.destination.Addr() }

// SrcIP implements conn.Endpoint.
func (e *endpoint) SrcIP() netip.Addr { return e.currentSource().addr }

// SrcToString implements conn.Endpoint.
func (e *endpoint) SrcToString() string { return e.SrcIP().String() }

// currentSource returns the source, unless it was cleared.
func (e *endpoint) currentSource() source {
	if e.cleared.Load() {
		return source{}
	}
	return e.source
}

const (
	// controlSize is enough bytes for the control messages of a datagram: its
	// source (40 for IPv6), and the size of its segments (24).
	controlSize = 64
	// segmentSize is the size in bytes of the number in UDP_SEGMENT.
	segmentSize = 2
)

// appendSource appends the control message that selects a source.
func appendSource(b []byte, s source) []byte {
	switch {
	case !s.addr.IsValid():
		return b
	case s.addr.Is4():
		info := unix.Inet4Pktinfo{Ifindex: s.ifindex, Spec_dst: s.addr.As4()}
		return appendControl(b, unix.IPPROTO_IP, unix.IP_PKTINFO, unsafe.Slice((*byte)(unsafe.Pointer(&info)), unix.SizeofInet4Pktinfo))
	default:
		info := unix.Inet6Pktinfo{Ifindex: uint32(s.ifindex), Addr: s.addr.As16()}
		return appendControl(b, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unsafe.Slice((*byte)(unsafe.Pointer(&info)), unix.SizeofInet6Pktinfo))
	}
}

// appendSegmentSize appends the control message that makes the kernel segment a
// message into datagrams of a size.
func appendSegmentSize(b []byte, size int) []byte {
	n := uint16(size)
	return appendControl(b, unix.SOL_UDP, unix.UDP_SEGMENT, unsafe.Slice((*byte)(unsafe.Pointer(&n)), segmentSize))
}

func appendControl(b []byte, level, typ int32, data []byte) []byte {
	at := len(b)
	b = append(b, make([]byte, unix.CmsgSpace(len(data)))...)
	header := (*unix.Cmsghdr)(unsafe.Pointer(&b[at]))
	header.Level, header.Type = level, typ
	header.SetLen(unix.CmsgLen(len(data)))
	copy(b[at+unix.CmsgLen(0):], data)
	return b
}

// parseControl returns the source to which a datagram was sent, and the size of
// the datagrams that the kernel coalesced; 0: it is a single one.
func parseControl(b []byte) (from source, size int) {
	for len(b) > unix.SizeofCmsghdr {
		header, data, rest, err := unix.ParseOneSocketControlMessage(b)
		if err != nil {
			return from, size
		}
		switch {
		case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0]))
			from = source{netip.AddrFrom4(info.Spec_dst), info.Ifindex}
		case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0]))
			from = source{netip.AddrFrom16(info.Addr), int32(info.Ifindex)} //nolint:gosec // it is an int in the kernel
		case header.Level == unix.SOL_UDP && header.Type == unix.UDP_GRO && len(data) >= segmentSize:
			size = int(*(*uint16)(unsafe.Pointer(&data[0])))
		}
		b = rest
	}
	return from, size
}

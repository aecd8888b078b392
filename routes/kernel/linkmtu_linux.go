package kernel

import (
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// linkMTUs are the MTUs of the links of the host, by index, bytes. Messages about
// links are frequent on a host with pods; few of them change an MTU.
type linkMTUs map[int]int

func readLinkMTUs() (linkMTUs, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	mtus := linkMTUs{}
	for _, l := range links {
		mtus[l.Index] = l.MTU
	}
	return mtus, nil
}

// changed records what a message contains, and reports whether the MTU of a known
// link has changed.
func (l linkMTUs) changed(m syscall.NetlinkMessage) bool {
	if m.Header.Type != unix.RTM_NEWLINK && m.Header.Type != unix.RTM_DELLINK {
		return false
	}
	header, a, err := split(m.Data, unix.SizeofIfInfomsg)
	if err != nil {
		return true
	}
	const indexAt = 4 // in struct ifinfomsg
	index := int(native.Uint32(header[indexAt:]))
	if m.Header.Type == unix.RTM_DELLINK {
		delete(l, index)
		return false
	}
	mtu := int(a.u32(unix.IFLA_MTU))
	before, known := l[index]
	l[index] = mtu
	return known && before != mtu
}

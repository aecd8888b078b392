//go:build linux

package nft

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/routes/ruleset"
)

// These are of linux/netfilter/ipset/ip_set.h.
const (
	ipsetList     = 7 // a command
	ipsetProtocol = 6 // the oldest version that all kernels have

	ipsetAttrProtocol = 1 // of a message
	ipsetAttrName     = 2
	ipsetAttrType     = 3
	ipsetAttrData     = 7
	ipsetAttrElements = 8

	ipsetAttrIP       = 1 // of an element
	ipsetAttrCIDR     = 3
	ipsetAttrPort     = 4
	ipsetAttrTimeout  = 6
	ipsetAttrProto    = 7
	ipsetAttrFlags    = 8
	ipsetAttrIP2      = 20
	ipsetAttrCIDR2    = 21
	ipsetFlagExcluded = 1 << 2
)

// maxIpsetElements bounds the elements of a set: each packet is compared with all of them.
const maxIpsetElements = 4096

// readIpset returns the set of the program ipset with a name, of the network namespace of
// the calling thread; false: it is too large, or its elements are not understood. The
// library netlink does not return which elements are excluded (nomatch).
func readIpset(name string) (ruleset.Ipset, bool, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return ruleset.Ipset{}, false, err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		return ruleset.Ipset{}, false, err
	}
	if err := unix.Sendto(fd, ipsetRequest(name), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return ruleset.Ipset{}, false, err
	}
	var found ipsetListing
	buffer := make([]byte, 1<<16)
	for !found.done {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if err != nil {
			return ruleset.Ipset{}, false, err
		}
		if err := found.add(buffer[:n]); err != nil {
			return ruleset.Ipset{}, false, fmt.Errorf("read set %s: %w", name, err)
		}
	}
	return found.set, !found.unclear && found.set.Type != "" && len(found.set.Elements) <= maxIpsetElements, nil
}

func ipsetRequest(name string) []byte {
	attr := func(typ uint16, value []byte) []byte {
		b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofNlAttr+len(value))) //nolint:gosec // a name is short
		b = append(binary.NativeEndian.AppendUint16(b, typ), value...)
		return append(b, make([]byte, -len(b)&3)...)
	}
	body := []byte{unix.AF_INET, 0, 0, 0} // struct nfgenmsg
	body = append(body, attr(ipsetAttrProtocol, []byte{ipsetProtocol})...)
	body = append(body, attr(ipsetAttrName, append([]byte(name), 0))...)
	header := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body))) //nolint:gosec // a name is short
	header = binary.NativeEndian.AppendUint16(header, unix.NFNL_SUBSYS_IPSET<<8|ipsetList)
	header = binary.NativeEndian.AppendUint16(header, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_DUMP)
	return append(append(header, make([]byte, 8)...), body...)
}

// ipsetListing is the answer as far as it was received.
type ipsetListing struct {
	set     ruleset.Ipset
	unclear bool // an element is not understood
	done    bool
}

// add adds a datagram of the answer.
func (l *ipsetListing) add(b []byte) error {
	for len(b) >= unix.SizeofNlMsghdr {
		length := int(binary.NativeEndian.Uint32(b))
		if length < unix.SizeofNlMsghdr || length > len(b) {
			return unix.EBADMSG
		}
		body := b[unix.SizeofNlMsghdr:length]
		switch binary.NativeEndian.Uint16(b[4:]) {
		case unix.NLMSG_DONE:
			l.done = true
		case unix.NLMSG_ERROR:
			l.done = true
			if len(body) >= 4 {
				if number := int32(binary.NativeEndian.Uint32(body)); number != 0 { //nolint:gosec // a negative error number
					return unix.Errno(-number)
				}
			}
		default:
			l.addMessage(body[min(4, len(body)):])
		}
		b = b[min(len(b), (length+3)&^3):]
	}
	return nil
}

func (l *ipsetListing) addMessage(b []byte) {
	for typ, value := range netlinkAttrs(b) {
		switch typ {
		case ipsetAttrType:
			l.set.Type = strings.TrimRight(string(value), "\x00")
		case ipsetAttrData:
			for kind := range netlinkAttrs(value) {
				l.set.Changes = l.set.Changes || kind == ipsetAttrTimeout
			}
		case ipsetAttrElements:
			for _, element := range netlinkAttrs(value) {
				if len(l.set.Elements) > maxIpsetElements {
					return
				}
				parsed, ok := ipsetElement(l.set.Type, element)
				l.set.Elements = append(l.set.Elements, parsed)
				l.unclear = l.unclear || !ok
			}
		}
	}
}

// ipsetElement returns an element as nft prints it.
func ipsetElement(kind string, b []byte) (any, bool) {
	values := map[uint16][]byte{}
	for typ, value := range netlinkAttrs(b) {
		values[typ] = value
	}
	if flags := values[ipsetAttrFlags]; len(flags) == 4 && binary.BigEndian.Uint32(flags)&ipsetFlagExcluded != 0 {
		return nil, false
	}
	_, parts, _ := strings.Cut(kind, ":")
	var out []any
	addresses := 0
	for part := range strings.SplitSeq(parts, ",") {
		switch part {
		case "ip", "net":
			ip, bits := values[ipsetAttrIP], values[ipsetAttrCIDR]
			if addresses++; addresses > 1 {
				ip, bits = values[ipsetAttrIP2], values[ipsetAttrCIDR2]
			}
			address, ok := ipsetAddress(ip, bits)
			if !ok {
				return nil, false
			}
			out = append(out, address)
		case "port":
			port := values[ipsetAttrPort]
			if len(port) != 2 {
				return nil, false
			}
			out = append(out, ipsetProtocolOf(values[ipsetAttrProto]), float64(binary.BigEndian.Uint16(port)))
		default:
			return nil, false
		}
	}
	if len(out) == 1 {
		return out[0], true
	}
	return map[string]any{"concat": out}, true
}

// ipsetProtocolOf returns the name of a protocol; that of a bitmap of ports is any.
func ipsetProtocolOf(value []byte) any {
	if len(value) != 1 {
		return "*"
	}
	switch value[0] {
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_UDP:
		return "udp"
	default:
		return "other"
	}
}

func ipsetAddress(ip, bits []byte) (any, bool) {
	for _, value := range netlinkAttrs(ip) {
		a, ok := netip.AddrFromSlice(value)
		if !ok {
			return nil, false
		}
		if len(bits) == 1 {
			return map[string]any{"prefix": map[string]any{"addr": a.String(), "len": float64(bits[0])}}, true
		}
		return a.String(), true
	}
	return nil, false
}

// netlinkAttrs returns the types and values of the well-formed attributes.
func netlinkAttrs(b []byte) func(yield func(uint16, []byte) bool) {
	return func(yield func(uint16, []byte) bool) {
		const typeMask = 0x3fff
		for len(b) >= unix.SizeofNlAttr {
			length := int(binary.NativeEndian.Uint16(b))
			if length < unix.SizeofNlAttr || length > len(b) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(b[2:])&typeMask, b[unix.SizeofNlAttr:length]) {
				return
			}
			b = b[min(len(b), (length+3)&^3):]
		}
	}
}

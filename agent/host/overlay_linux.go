package host

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/tunnel"
)

// overlays returns the devices that encapsulate packets to other hosts, sorted,
// without Meshway's own.
func (h Host) overlays() ([]string, error) {
	dump, err := syscall.NetlinkRIB(unix.RTM_GETLINK, unix.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("list kinds of interfaces: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(dump)
	if err != nil {
		return nil, fmt.Errorf("list kinds of interfaces: %w", err)
	}
	return h.encapsulating(messages), nil
}

// encapsulating returns the names of the overlay devices in an RTM_GETLINK dump,
// sorted.
func (h Host) encapsulating(dump []syscall.NetlinkMessage) []string {
	var devices []string
	for _, m := range dump {
		if m.Header.Type != unix.RTM_NEWLINK || !isUp(m) {
			continue
		}
		name, kind := nameAndKind(m)
		if encapsulates(kind) && !tunnel.IsLane(h.TunnelPrefix, name) {
			devices = append(devices, name)
		}
	}
	slices.Sort(devices)
	return devices
}

// encapsulates reports whether CNI plugins use interfaces of a kind (rtnetlink(7),
// IFLA_INFO_KIND) to reach other hosts.
func encapsulates(kind string) bool {
	return slices.Contains([]string{
		"vxlan", "geneve", "ipip", "ip6tnl", "sit", "gre", "gretap", "ip6gre", "ip6gretap", "wireguard",
	}, kind)
}

// isUp reports whether IFF_UP is set in struct ifinfomsg. The kernel modules of
// tunnels create default devices, which are down.
func isUp(m syscall.NetlinkMessage) bool {
	const flags = 8
	return len(m.Data) >= unix.SizeofIfInfomsg && binary.NativeEndian.Uint32(m.Data[flags:])&unix.IFF_UP != 0
}

func nameAndKind(m syscall.NetlinkMessage) (name, kind string) {
	attributes, err := syscall.ParseNetlinkRouteAttr(&m)
	if err != nil {
		return "", ""
	}
	for _, a := range attributes {
		switch a.Attr.Type &^ unix.NLA_F_NESTED {
		case unix.IFLA_IFNAME:
			name = cString(a.Value)
		case unix.IFLA_LINKINFO:
			kind = kindOf(a.Value)
		}
	}
	return name, kind
}

// kindOf returns IFLA_INFO_KIND, which is nested in IFLA_LINKINFO; "" if it is missing.
func kindOf(nested []byte) string {
	for len(nested) >= unix.SizeofRtAttr {
		length := int(binary.NativeEndian.Uint16(nested))
		if length < unix.SizeofRtAttr || length > len(nested) {
			return ""
		}
		if binary.NativeEndian.Uint16(nested[2:]) == unix.IFLA_INFO_KIND {
			return cString(nested[unix.SizeofRtAttr:length])
		}
		aligned := (length + unix.RTA_ALIGNTO - 1) &^ (unix.RTA_ALIGNTO - 1)
		nested = nested[min(aligned, len(nested)):]
	}
	return ""
}

func cString(b []byte) string { return strings.TrimRight(string(b), "\x00") }

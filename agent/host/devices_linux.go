package host

import (
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/tunnel"
)

// netDevice is an interface as RTM_GETLINK reports it.
type netDevice struct {
	index, master     int // of the bridge, bond, … to which it belongs; 0: none
	name, kind, alias string
	up, loopback      bool
}

// devices returns all interfaces.
func devices() ([]netDevice, error) {
	dump, err := syscall.NetlinkRIB(unix.RTM_GETLINK, unix.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("list kinds of interfaces: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(dump)
	if err != nil {
		return nil, fmt.Errorf("list kinds of interfaces: %w", err)
	}
	return parseDevices(messages), nil
}

// parseDevices returns the interfaces in an RTM_GETLINK dump.
func parseDevices(dump []syscall.NetlinkMessage) []netDevice {
	var list []netDevice
	for _, m := range dump {
		if m.Header.Type == unix.RTM_NEWLINK && len(m.Data) >= unix.SizeofIfInfomsg {
			list = append(list, parseDevice(m))
		}
	}
	return list
}

// encapsulating returns the names of the overlay devices that are up, sorted,
// without Meshway's own. The kernel modules of tunnels create default devices, which
// are down.
func (h Host) encapsulating(list []netDevice) []string {
	var names []string
	for _, d := range list {
		if d.up && encapsulates(d.kind) && !h.isLane(d) {
			names = append(names, d.name)
		}
	}
	slices.Sort(names)
	return names
}

// isLane reports whether a device is Meshway's own: it has the alias, too.
func (h Host) isLane(d netDevice) bool {
	return tunnel.IsLane(h.TunnelPrefix, d.name) && d.alias == tunnel.Alias
}

// lanes returns the names of the devices that are Meshway's own.
func (h Host) lanes(list []netDevice) map[string]bool {
	own := map[string]bool{}
	for _, d := range list {
		own[d.name] = h.isLane(d)
	}
	return own
}

// uplinks returns the devices by which routers may reach this host, also those that are
// down: the physical ones, and those of the underlay except bridges of containers. Other
// devices of containers have no address outside of the pod prefixes.
func uplinks(list []netDevice, own map[string]bool, underlay []string) []string {
	var names []string
	apart := virtual(list)
	for _, d := range list {
		physical, known := !apart[d.name] && !d.loopback, slices.Contains(underlay, d.name) && d.kind != "bridge"
		if !own[d.name] && d.master == 0 && (physical || known) {
			names = append(names, d.name)
		}
	}
	return names
}

// bridgePorts returns the names of the interfaces of which bridges consist, sorted, by the
// name of the bridge.
func bridgePorts(list []netDevice) map[string][]string {
	bridges := map[int]string{}
	for _, d := range list {
		if d.kind == "bridge" {
			bridges[d.index] = d.name
		}
	}
	ports := map[string][]string{}
	for _, d := range list {
		if bridge, ok := bridges[d.master]; ok {
			ports[bridge] = append(ports[bridge], d.name)
		}
	}
	for _, names := range ports {
		slices.Sort(names)
	}
	return ports
}

// virtual returns the names of the devices that connect this host to no other host:
// bridges without a physical port, and devices of containers and of other VPNs.
func virtual(list []netDevice) map[string]bool {
	ports := map[int]bool{} // bridges with a physical port, by index
	for _, d := range list {
		ports[d.master] = ports[d.master] || isPhysical(d.kind)
	}
	names := map[string]bool{}
	for _, d := range list {
		if !isPhysical(d.kind) && (d.kind != "bridge" || !ports[d.index]) {
			names[d.name] = true
		}
	}
	return names
}

// isPhysical reports whether interfaces of a kind are network adapters, or send
// through one in the name of this host. Adapters have no kind.
func isPhysical(kind string) bool {
	return slices.Contains([]string{"", "vlan", "bond", "team", "macvlan", "ipvlan", "ipoib", "hsr"}, kind)
}

// encapsulates reports whether CNI plugins use interfaces of a kind (rtnetlink(7),
// IFLA_INFO_KIND) to reach other hosts.
func encapsulates(kind string) bool {
	return slices.Contains([]string{
		"vxlan", "geneve", "ipip", "ip6tnl", "sit", "gre", "gretap", "ip6gre", "ip6gretap", "wireguard",
	}, kind)
}

// parseDevice returns the interface of an RTM_NEWLINK message: struct ifinfomsg and
// attributes.
func parseDevice(m syscall.NetlinkMessage) netDevice {
	const index, flags = 4, 8
	d := netDevice{
		index: int(binary.NativeEndian.Uint32(m.Data[index:])),
		up:    binary.NativeEndian.Uint32(m.Data[flags:])&unix.IFF_UP != 0,

		loopback: binary.NativeEndian.Uint32(m.Data[flags:])&unix.IFF_LOOPBACK != 0,
	}
	for typ, value := range attributesOf(m.Data[unix.SizeofIfInfomsg:]) {
		switch typ {
		case unix.IFLA_IFNAME:
			d.name = cString(value)
		case unix.IFLA_IFALIAS:
			d.alias = cString(value)
		case unix.IFLA_LINKINFO:
			d.kind = kindOf(value)
		case unix.IFLA_MASTER:
			if len(value) == 4 {
				d.master = int(binary.NativeEndian.Uint32(value))
			}
		}
	}
	return d
}

// kindOf returns IFLA_INFO_KIND, which is nested in IFLA_LINKINFO; "" if it is missing.
func kindOf(nested []byte) string {
	for typ, value := range attributesOf(nested) {
		if typ == unix.IFLA_INFO_KIND {
			return cString(value)
		}
	}
	return ""
}

// attributesOf returns types and values of attributes up to the first that is not
// well-formed. ParseNetlinkRouteAttr of package syscall panics if the last one lacks its padding.
func attributesOf(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			length := int(binary.NativeEndian.Uint16(b))
			typ := binary.NativeEndian.Uint16(b[2:]) &^ unix.NLA_F_NESTED
			if length < unix.SizeofRtAttr || length > len(b) || !yield(typ, b[unix.SizeofRtAttr:length]) {
				return
			}
			aligned := (length + unix.RTA_ALIGNTO - 1) &^ (unix.RTA_ALIGNTO - 1)
			b = b[min(aligned, len(b)):]
		}
	}
}

func cString(b []byte) string { return strings.TrimRight(string(b), "\x00") }

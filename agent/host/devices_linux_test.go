package host

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"
)

// attribute returns a netlink attribute, padded to 4 bytes.
func attribute(typ uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = append(b, value...)
	for len(b)%unix.RTA_ALIGNTO != 0 {
		b = append(b, 0)
	}
	return b
}

// linkMessage returns the RTM_NEWLINK message of a device; kind may be empty.
func linkMessage(name, kind string, flags uint32) syscall.NetlinkMessage {
	data := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(data[8:], flags)
	data = append(data, attribute(unix.IFLA_IFNAME, append([]byte(name), 0))...)
	if kind != "" {
		info := attribute(unix.IFLA_INFO_KIND, append([]byte(kind), 0))
		info = append(info, attribute(unix.IFLA_INFO_DATA, []byte{1, 2, 3})...)
		data = append(data, attribute(unix.IFLA_LINKINFO|unix.NLA_F_NESTED, info)...)
	}
	return syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: unix.RTM_NEWLINK}, Data: data}
}

func TestEncapsulatingReturnsOverlayDevices(t *testing.T) {
	done := linkMessage("vxlan9", "vxlan", unix.IFF_UP)
	done.Header.Type = unix.NLMSG_DONE
	short := linkMessage("vxlan8", "vxlan", unix.IFF_UP)
	short.Data = short.Data[:8]
	dump := []syscall.NetlinkMessage{
		linkMessage("vxlan.calico", "vxlan", unix.IFF_UP),
		linkMessage("flannel.1", "vxlan", unix.IFF_UP),
		linkMessage("tunl0", "ipip", 0), // the kernel module creates it
		linkMessage("tunl1", "ipip", unix.IFF_UP),
		linkMessage("cni0", "bridge", unix.IFF_UP),
		linkMessage("eth0", "", unix.IFF_UP),
		linkMessage("wg0", "wireguard", unix.IFF_UP),
		linkMessage("mesh0", "wireguard", unix.IFF_UP), // another program's
		done,
		short,
	}
	list := parseDevices(dump)
	assert.Equal(t, []string{"flannel.1", "mesh0", "tunl1", "vxlan.calico", "wg0"}, testHost().encapsulating(list))
	for i := range list {
		if list[i].name == "mesh0" {
			list[i].alias = "meshway"
		}
	}
	assert.Equal(t, []string{"flannel.1", "tunl1", "vxlan.calico", "wg0"}, testHost().encapsulating(list), "Meshway's own has its alias")
	assert.Empty(t, testHost().encapsulating(nil))
}

func TestKindOfFindsTheNestedAttribute(t *testing.T) {
	kind := attribute(unix.IFLA_INFO_KIND, []byte("geneve\x00"))
	for name, test := range map[string]struct {
		nested []byte
		want   string
	}{
		"empty":                    {nil, ""},
		"first attribute":          {kind, "geneve"},
		"after another attribute":  {append(attribute(unix.IFLA_INFO_DATA, []byte{1}), kind...), "geneve"},
		"length below the header":  {[]byte{3, 0, 0, 0}, ""},
		"length beyond the buffer": {kind[:len(kind)-4], ""},
		"truncated header":         {[]byte{8, 0}, ""},
	} {
		assert.Equal(t, test.want, kindOf(test.nested), name)
	}
}

func TestVirtualDevicesConnectToNoOtherHost(t *testing.T) {
	list := []netDevice{
		{index: 1, name: "lo"},
		{index: 2, name: "eth0"},
		{index: 3, name: "eth1", master: 10},
		{index: 10, name: "br0", kind: "bridge"},
		{index: 11, name: "docker0", kind: "bridge"},
		{index: 12, name: "veth1", kind: "veth", master: 11},
		{index: 13, name: "virbr0", kind: "bridge"},
		{index: 14, name: "vnet0", kind: "tun", master: 13},
		{index: 15, name: "eth0.7", kind: "vlan"},
		{index: 16, name: "br7", kind: "bridge"},
		{index: 17, name: "bond0", kind: "bond", master: 16},
		{index: 18, name: "kube-ipvs0", kind: "dummy"},
		{index: 19, name: "tailscale0", kind: "tun"},
	}
	assert.Equal(t, map[string][]string{"br0": {"eth1"}, "docker0": {"veth1"}, "virbr0": {"vnet0"}, "br7": {"bond0"}}, bridgePorts(list))
	names := slices.Sorted(maps.Keys(virtual(list)))
	assert.Equal(t, []string{"docker0", "kube-ipvs0", "tailscale0", "veth1", "virbr0", "vnet0"}, names)
}

func TestUnstableAddressesAreThoseNotUsedForNewConnections(t *testing.T) {
	for name, c := range map[string]struct {
		address string
		flags   int
		want    bool
	}{
		"permanent":          {"2001:db8::1", unix.IFA_F_PERMANENT, false},
		"temporary":          {"2001:db8::1", unix.IFA_F_TEMPORARY, true},
		"base of temporary":  {"2001:db8::1", unix.IFA_F_MANAGETEMPADDR, false},
		"deprecated":         {"2001:db8::1", unix.IFA_F_PERMANENT | unix.IFA_F_DEPRECATED, true},
		"tentative":          {"2001:db8::1", unix.IFA_F_TENTATIVE, true},
		"optimistic":         {"2001:db8::1", unix.IFA_F_OPTIMISTIC, false},
		"a duplicate":        {"2001:db8::1", unix.IFA_F_PERMANENT | unix.IFA_F_DADFAILED, true},
		"secondary IPv4":     {"192.0.2.1", unix.IFA_F_SECONDARY, false},
		"deprecated IPv4":    {"192.0.2.1", unix.IFA_F_DEPRECATED, true},
		"second one of IPv4": {"192.0.2.1", unix.IFA_F_PERMANENT | unix.IFA_F_SECONDARY, false},
	} {
		assert.Equal(t, c.want, isUnstable(netip.MustParseAddr(c.address), c.flags), name)
	}
}

func TestUplinksAreDevicesByWhichRoutersReachTheHost(t *testing.T) {
	list := []netDevice{
		{index: 1, name: "lo", up: true, loopback: true},
		{index: 2, name: "eth0", up: true},
		{index: 3, name: "eth1"}, // down: an advertisement may arrive as soon as it is up
		{index: 4, name: "docker0", kind: "bridge", up: true},
		{index: 5, name: "br0", kind: "bridge", up: true},
		{index: 6, name: "eth2", master: 5, up: true},
		{index: 7, name: "veth1", kind: "veth", up: true},
		{index: 8, name: "host0", kind: "veth", up: true},
		{index: 9, name: "mesh0", kind: "veth", up: true, alias: "meshway"},
	}
	assert.Equal(t, []string{"eth0", "eth1", "br0", "host0"},
		uplinks(list, testHost().lanes(list), []string{"br0", "docker0", "eth0", "host0", "mesh0"}))
}

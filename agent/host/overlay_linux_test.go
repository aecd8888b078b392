package host

import (
	"encoding/binary"
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
		linkMessage("mesh0", "wireguard", unix.IFF_UP), // Meshway's own
		done,
		short,
	}
	assert.Equal(t, []string{"flannel.1", "tunl1", "vxlan.calico", "wg0"}, testHost().encapsulating(dump))
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

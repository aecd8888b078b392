package host

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// FuzzDevices checks that no list of devices causes a panic, and that names and kinds,
// which other programs choose, are read without their padding.
func FuzzDevices(f *testing.F) {
	for _, m := range []syscall.NetlinkMessage{
		linkMessage("eth0", "", unix.IFF_UP), linkMessage("br0", "bridge", unix.IFF_UP), linkMessage("flannel.1", "vxlan", unix.IFF_UP),
	} {
		port := append(m.Data[unix.SizeofIfInfomsg:len(m.Data):len(m.Data)], attribute(unix.IFLA_MASTER, []byte{7, 0, 0, 0})...)
		f.Add(m.Data[unix.SizeofIfInfomsg:])
		f.Add(port)
		f.Add(port[:len(port)-1])
	}
	f.Add(attribute(unix.IFLA_IFNAME, []byte("eth0\x00"))[:unix.SizeofRtAttr+5]) // the last one has no padding
	f.Fuzz(func(t *testing.T, data []byte) {
		header := syscall.NlMsghdr{Type: unix.RTM_NEWLINK}
		data = append(make([]byte, unix.SizeofIfInfomsg), data...)
		bridge := linkMessage("br0", "bridge", unix.IFF_UP)
		list := parseDevices([]syscall.NetlinkMessage{{Header: header, Data: data}, bridge})
		require.Equal(t, "br0", list[len(list)-1].name)
		for _, d := range list {
			require.Less(t, len(d.name)+len(d.kind), len(data)+len(bridge.Data))
			require.NotEqual(t, "\x00", last(d.name))
			require.NotEqual(t, "\x00", last(d.kind))
		}
		bridgePorts(list)
		virtual(list)
		testHost().encapsulating(list)
	})
}

// last returns the last byte of a text.
func last(text string) string { return text[max(0, len(text)-1):] }

package kernel

import (
	"net/netip"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/routes"
)

// FuzzMessage checks that no answer or notification of the kernel causes a panic, and that
// what is read from it can be planned with: prefixes are valid and attributes lie
// within their message. Other programs choose much of it: names, routes and rules.
func FuzzMessage(f *testing.F) {
	const table = 4242
	lane := routes.Nexthop{ID: routes.NexthopBase, Family: routes.IPv4, Device: "mesh0", Via: netip.MustParseAddr("10.1.2.3")}
	route := routes.Route{Prefix: netip.MustParsePrefix("10.96.0.0/16"), Nexthop: lane.ID, Source: netip.MustParseAddr("10.1.0.1"), MTU: 1380}
	name := appendAttr32(appendAttr(make([]byte, unix.SizeofIfInfomsg), unix.IFLA_IFNAME, []byte("eth0\x00")), unix.IFLA_MTU, 1500)
	refused := append(make([]byte, 4+unix.SizeofNlMsghdr), appendAttr(nil, unix.NLMSGERR_ATTR_MSG, []byte("no such device\x00"))...)
	native.PutUint32(refused, ^uint32(unix.ENODEV)+1)
	for _, seed := range []struct {
		typ  uint16
		body []byte
	}{
		{unix.RTM_NEWNEXTHOP, appendNexthop(nil, lane, 7)},
		{unix.RTM_DELNEXTHOP, appendGroup(nil, routes.Group{ID: lane.ID, Members: []uint32{lane.ID, lane.ID + 1}})},
		{unix.RTM_NEWROUTE, appendRoute(nil, route, table)},
		{unix.RTM_DELROUTE, appendRouteDeletion(nil, route, table)},
		{unix.RTM_NEWRULE, appendRule(nil, routes.Rule{Family: routes.IPv6, Priority: 100, Mark: 1, In: "eth0"}, table)},
		{unix.RTM_NEWLINK, name},
		{unix.RTM_NEWNETCONF, appendAttr32([]byte{unix.AF_INET, 0, 0, 0}, 1, 0xffffffff)},
		{unix.NLMSG_ERROR, refused},
	} {
		f.Add(seed.typ, uint16(unix.NLM_F_ACK_TLVS), seed.body)
		f.Add(seed.typ, uint16(0), seed.body[:len(seed.body)-1])
	}
	f.Fuzz(func(t *testing.T, typ, flags uint16, body []byte) {
		m := syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: typ, Flags: flags}, Data: body}
		k := New(Options{})
		k.table.Store(table)
		k.watchHost.Store(true)
		k.concerns(m)
		linkMTUs{1: 1500}.changed(m)
		if err := responseError(m); err != nil {
			require.NotEmpty(t, err.Error())
		}
		if r, err := parseRoute(body); err == nil {
			require.True(t, r.Prefix.IsValid())
			r.ours(table)
		}
		if n, err := parseNexthop(body); err == nil {
			require.LessOrEqual(t, len(n.members)*unix.SizeofNexthopGrp, len(body))
		}
		if r, err := parseRule(body); err == nil {
			r.ours(table)
			require.Less(t, len(r.In), max(1, len(body)))
		}
	})
}

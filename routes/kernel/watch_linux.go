package kernel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/routes"
)

// watchBuffer is the receive buffer in bytes: 100 000 routes may be flushed at once.
const watchBuffer = 16 << 20

// Watch implements routes.Kernel. It wakes after every message that may report a
// change of Meshway's entries by another program: a route of any protocol in
// Meshway's tables; a rule; a nexthop in Meshway's range; a link or an address,
// whose removal makes the kernel delete routes without a message; a sysctl of
// forwarding or rp_filter; and every generation of nftables. After a call of
// HostRoutes it also wakes after changes of the routes that HostRoutes returns. Of the
// tables of foreign rules it reports changes of routes that overlap those of Meshway.
//
// Of other links than its own, it reports changes of those on which there are nexthops,
// and of the MTU, on which that of the tunnels depends.
//
// Messages about Meshway's own writes have the port of its socket and do not wake.
// A write by nft wakes once, because an intact table is not written again.
func (k *Kernel) Watch(ctx context.Context, wake func()) error {
	route, err := subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR,
		unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
		unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_NEXTHOP,
		unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF)
	if err != nil {
		return err
	}
	filter, err := subscribe(unix.NETLINK_NETFILTER, unix.NFNLGRP_NFTABLES)
	if err != nil {
		route.Close()
		return err
	}
	mtus, err := readLinkMTUs()
	if err != nil {
		route.Close()
		filter.Close()
		return err
	}
	wake() // for changes before the subscription
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return listen(ctx, route, func(m syscall.NetlinkMessage) bool { return mtus.changed(m) || k.concerns(m) }, wake)
	})
	group.Go(func() error { return listen(ctx, filter, isGeneration, wake) })
	return group.Wait()
}

func subscribe(protocol int, groups ...uint) (*nl.NetlinkSocket, error) {
	socket, err := nl.Subscribe(protocol, groups...)
	if err != nil {
		return nil, fmt.Errorf("subscribe to netlink: %w", err)
	}
	// A smaller buffer is acceptable, because lost messages are reported and wake.
	if err := socket.SetReceiveBufferSize(watchBuffer, true); err != nil {
		_ = socket.SetReceiveBufferSize(watchBuffer, false)
	}
	return socket, nil
}

// listen calls wake for the messages that concern Meshway. It returns nil when ctx
// ends, and closes the socket.
func listen(ctx context.Context, socket *nl.NetlinkSocket, concerns func(syscall.NetlinkMessage) bool, wake func()) error {
	stop := context.AfterFunc(ctx, socket.Close)
	defer func() {
		if stop() {
			socket.Close()
		}
	}()
	for {
		messages, _, err := socket.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS): // messages were lost: anything may have changed
			wake()
			continue
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case err != nil:
			return fmt.Errorf("receive netlink message: %w", err)
		}
		for _, m := range messages {
			if concerns(m) {
				wake()
				break // one wake is enough for all messages of one read
			}
		}
	}
}

func isGeneration(m syscall.NetlinkMessage) bool {
	return m.Header.Type == unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWGEN
}

// concerns reports whether a message may report a change of Meshway's entries by
// another program. It is true if that is uncertain.
func (k *Kernel) concerns(m syscall.NetlinkMessage) bool {
	if id := k.writerID.Load(); id != 0 && m.Header.Pid == id {
		return false
	}
	switch m.Header.Type {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		r, err := parseRoute(m.Data)
		return err != nil || k.concernsTable(r.table) || k.concernsHostRoutes(r) || k.concernsForeignTables(r)
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		n, err := parseNexthop(m.Data)
		return err != nil || routes.OwnNexthop(n.id)
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		_, a, err := split(m.Data, unix.SizeofIfInfomsg)
		name := a.text(unix.IFLA_IFNAME)
		return err != nil || k.options.concerns(name) || k.uses(name)
	case unix.RTM_NEWRULE, unix.RTM_DELRULE, unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return true
	case unix.RTM_NEWNETCONF:
		return k.concernsSysctl(m.Data)
	default:
		return false
	}
}

// concernsSysctl reports whether a message about sysctls (RTM_NEWNETCONF) is for
// all devices or for one that Watch reports. The kernel sends such messages for
// every new device.
func (k *Kernel) concernsSysctl(data []byte) bool {
	const header, ifindex, all = 4, 1, -1 // struct netconfmsg, aligned; NETCONFA_IFINDEX, NETCONFA_IFINDEX_ALL (linux/netconf.h)
	_, a, err := split(data, header)
	if err != nil {
		return true
	}
	index := int32(a.u32(ifindex)) //nolint:gosec // it is an int32 in the kernel
	if index == all {
		return true
	}
	link, err := net.InterfaceByIndex(int(index))
	return err == nil && k.options.concerns(link.Name)
}

// concernsTable reports whether a table is one of Meshway's.
func (k *Kernel) concernsTable(table int) bool {
	ours := k.table.Load()
	return ours == 0 || int64(table) == ours || table == routes.NodesTable(int(ours))
}

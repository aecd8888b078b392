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

// Watch wakes on every message that may mean that somebody changed what is
// ours: the table, whoever the route belongs to; a rule; a nexthop of our range;
// a link or an address, with which the kernel drops routes without a word; a
// sysctl of forwarding or rp_filter; and any generation of nftables. Once
// HostRoutes was asked, it wakes on what that reads, too. Messages that our own writes caused carry the
// port of our socket, and do not wake; those of our nft do, once, since a table
// that is intact is not written again.
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
	wake() // what changed before we listened
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return listen(ctx, route, k.concerns, wake) })
	group.Go(func() error { return listen(ctx, filter, isGeneration, wake) })
	return group.Wait()
}

func subscribe(protocol int, groups ...uint) (*nl.NetlinkSocket, error) {
	socket, err := nl.Subscribe(protocol, groups...)
	if err != nil {
		return nil, fmt.Errorf("subscribe to netlink: %w", err)
	}
	// Less is no reason to stop: losing messages is noticed, and wakes.
	if err := socket.SetReceiveBufferSize(watchBuffer, true); err != nil {
		_ = socket.SetReceiveBufferSize(watchBuffer, false)
	}
	return socket, nil
}

// listen closes the socket when ctx ends.
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
				break // once is enough for all that came together
			}
		}
	}
}

func isGeneration(m syscall.NetlinkMessage) bool {
	return m.Header.Type == unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWGEN
}

// concerns tells whether a message may mean that what is ours has changed by
// another hand. When in doubt it does.
func (k *Kernel) concerns(m syscall.NetlinkMessage) bool {
	if id := k.writerID.Load(); id != 0 && m.Header.Pid == id {
		return false
	}
	switch m.Header.Type {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		r, err := parseRoute(m.Data)
		return err != nil || k.concernsTable(r.table) || k.concernsHostRoutes(r)
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		n, err := parseNexthop(m.Data)
		return err != nil || routes.OwnNexthop(n.id)
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		_, a, err := split(m.Data, unix.SizeofIfInfomsg)
		return err != nil || k.options.concerns(a.text(unix.IFLA_IFNAME))
	case unix.RTM_NEWRULE, unix.RTM_DELRULE, unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return true
	case unix.RTM_NEWNETCONF:
		return k.concernsSysctl(m.Data)
	default:
		return false
	}
}

// concernsSysctl tells whether a message about sysctls (RTM_NEWNETCONF) is of
// all devices together or of one of ours. Every device that is made brings some.
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

func (k *Kernel) concernsTable(table int) bool {
	ours := k.table.Load()
	return ours == 0 || int64(table) == ours || table == routes.NodesTable(int(ours))
}

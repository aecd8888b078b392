package userspace

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// sources decides whether a datagram may be sent from a source address. Linux's
// WireGuard compares with the route of each packet; here the answers are kept
// until routes, rules, links or addresses change.
type sources struct {
	mark    atomic.Uint32
	version atomic.Uint64 // counts the changes
	answers sync.Map      // question → answer
	done    sync.WaitGroup

	kernel atomic.Pointer[netlink.Handle] // nil: not watching
	events *nl.NetlinkSocket
}

type question struct {
	destination netip.Addr
	from        source
}

type answer struct {
	version uint64
	usable  bool
}

// usable reports whether the kernel routes packets from the source to the
// destination through the device of the source.
func (s *sources) usable(destination netip.Addr, from source) bool {
	q, version, kernel := question{destination, from}, s.version.Load(), s.kernel.Load()
	if a, ok := s.answers.Load(q); ok && a.(answer).version == version {
		return a.(answer).usable
	}
	if kernel == nil {
		return false
	}
	routes, err := kernel.RouteGetWithOptions(destination.AsSlice(), &netlink.RouteGetOptions{
		SrcAddr: from.addr.AsSlice(), Mark: s.mark.Load(),
	})
	a := answer{version, err == nil && len(routes) == 1 && routes[0].LinkIndex == int(from.ifindex)}
	s.answers.Store(q, a)
	return a.usable
}

// watch begins to forget the answers after each change.
func (s *sources) watch() error {
	events, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_NEXTHOP)
	if err != nil {
		return fmt.Errorf("subscribe to changes of routes: %w", err)
	}
	kernel, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		events.Close()
		return fmt.Errorf("open netlink: %w", err)
	}
	s.kernel.Store(kernel)
	s.events = events
	s.done.Go(func() {
		for {
			_, _, err := events.Receive()
			if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
				return // closed
			}
			s.version.Add(1)
			s.answers.Clear()
		}
	})
	return nil
}

// stop ends watch.
func (s *sources) stop() {
	if s.events != nil {
		s.events.Close()
		s.done.Wait()
		s.events = nil
		s.kernel.Swap(nil).Close()
	}
}

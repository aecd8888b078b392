package host

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// maxDumps bounds how often a list that the kernel has interrupted, because it
// changed meanwhile, is read again.
const maxDumps = 3

// unstable returns the addresses that are not to be used for new connections.
func unstable() (map[netip.Addr]bool, error) {
	list, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	for range maxDumps {
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
		list, err = netlink.AddrList(nil, netlink.FAMILY_ALL)
	}
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	found := map[netip.Addr]bool{}
	for _, a := range list {
		if addr, ok := netip.AddrFromSlice(a.IP); ok && isUnstable(addr.Unmap(), a.Flags) {
			found[addr.Unmap()] = true
		}
	}
	return found, nil
}

// isUnstable reports whether the flags of an address (IFA_FLAGS, rtnetlink(7)) make it
// deprecated, tentative or temporary. Of IPv4 addresses, the last one has another
// meaning: IFA_F_SECONDARY.
func isUnstable(addr netip.Addr, flags int) bool {
	if flags&(unix.IFA_F_DEPRECATED|unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 {
		return true
	}
	return addr.Is6() && flags&unix.IFA_F_TEMPORARY != 0
}

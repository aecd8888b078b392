package device

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/tunnel"
)

// dumpRetries is how often a dump is requested while the kernel reports it as
// inconsistent.
const dumpRetries = 5

// links is one rtnetlink socket. It is opened for each operation, so that
// nothing has to be kept open and it is in the network namespace of its caller.
type links struct{ *netlink.Handle }

func openLinks(ctx context.Context) (links, error) {
	if err := ctx.Err(); err != nil {
		return links{}, err
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return links{}, fmt.Errorf("open rtnetlink: %w", err)
	}
	return links{h}, nil
}

func (h links) list() ([]netlink.Link, error) {
	for range dumpRetries {
		out, err := h.LinkList()
		if errors.Is(err, netlink.ErrDumpInterrupted) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list links: %w", err)
		}
		return out, nil
	}
	return nil, errors.New("list links: the list kept changing while it was read")
}

func (h links) byName(name string) (netlink.Link, error) {
	link, err := h.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("find link %s: %w", name, err)
	}
	return link, nil
}

// owned returns the link if it has Meshway's alias.
func (h links) owned(name string) (netlink.Link, error) {
	link, err := h.byName(name)
	if err != nil {
		return nil, err
	}
	if link.Attrs().Alias != Alias {
		return nil, fmt.Errorf("interface %s was not created by Meshway: not changed", name)
	}
	return link, nil
}

func (h links) setAlias(link netlink.Link) error {
	if err := h.LinkSetAlias(link, Alias); err != nil {
		return fmt.Errorf("set alias of link %s: %w", link.Attrs().Name, err)
	}
	return nil
}

func (h links) remove(link netlink.Link) error {
	err := h.LinkDel(link)
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete link %s: %w", link.Attrs().Name, err)
	}
	return nil
}

// addresses returns the addresses of the link, sorted, without the link-local
// ones that the kernel adds to a TUN device on its own.
func (h links) addresses(index int) ([]netip.Prefix, error) {
	link := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}
	for range dumpRetries {
		addrs, err := h.AddrList(link, netlink.FAMILY_ALL)
		if errors.Is(err, netlink.ErrDumpInterrupted) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list addresses: %w", err)
		}
		var out []netip.Prefix
		for _, a := range addrs {
			if p, ok := fromIPNet(*a.IPNet); ok && !p.Addr().IsLinkLocalUnicast() {
				out = append(out, p)
			}
		}
		slices.SortFunc(out, netip.Prefix.Compare)
		return out, nil
	}
	return nil, errors.New("list addresses: the list kept changing while it was read")
}

// configure applies the link's part of a change.
func (h links) configure(link netlink.Link, c tunnel.Change) error {
	if c.MTU != 0 {
		if err := h.LinkSetMTU(link, c.MTU); err != nil {
			return fmt.Errorf("set mtu %d of %s: %w", c.MTU, c.Name, err)
		}
	}
	for _, p := range c.AddAddresses {
		if err := h.AddrReplace(link, address(p)); err != nil {
			return fmt.Errorf("add address %s to %s: %w%s", p, c.Name, err, ipv6Remedy(p, c.Name, err))
		}
	}
	for _, p := range c.RemoveAddresses {
		if err := h.AddrDel(link, address(p)); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("remove address %s from %s: %w", p, c.Name, err)
		}
	}
	if c.Up {
		if err := h.LinkSetUp(link); err != nil {
			return fmt.Errorf("bring up %s: %w", c.Name, err)
		}
	}
	return nil
}

// ipv6Settings has the settings of IPv6 by interface, below the root of sysctls.
const ipv6Settings = "net/ipv6/conf"

// enableIPv6 switches IPv6 on for an interface if it is off. A setting for
// all or for new interfaces (net.ipv6.conf.all.disable_ipv6, default) is about those of
// other programs, and the kernel decides for each interface. The error of an address explains
// what cannot be written.
func enableIPv6(root, name string) {
	setting := filepath.Join(root, name, "disable_ipv6")
	if value, err := os.ReadFile(setting); err == nil && strings.TrimSpace(string(value)) == "1" {
		_ = os.WriteFile(setting, []byte("0"), 0)
	}
}

// ipv6Remedy explains the error of an IPv6 address on a host that has IPv6: a setting for
// the interface alone.
func ipv6Remedy(p netip.Prefix, device string, err error) string {
	if !p.Addr().Is6() || !errors.Is(err, unix.EACCES) {
		return ""
	}
	return fmt.Sprintf("; IPv6 is switched off on this interface: run sysctl -w net.ipv6.conf.%s.disable_ipv6=0, and remove what sets it to 1 (/etc/sysctl.d)", device)
}

func address(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: toIPNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD // no other host can have it; usable at once
	}
	if p.Addr().IsLoopback() || isReserved(p.Addr()) {
		a.Scope = unix.RT_SCOPE_HOST // as ip does for the former; the kernel never chooses it as a source
	}
	return a
}

// isReserved reports whether an address is of 240.0.0.0/4 (RFC 1112), which only the two
// ends of a tunnel use: other programs of the host must not send from it.
func isReserved(a netip.Addr) bool { return a.Is4() && a.As4()[0] >= 240 }

func observeLink(link netlink.Link) tunnel.Observed {
	a := link.Attrs()
	return tunnel.Observed{
		Config:    tunnel.Config{Name: a.Name, MTU: a.MTU},
		Up:        a.Flags&net.FlagUp != 0,
		Index:     a.Index,
		Dataplane: kindOf(link),
	}
}

// kindOf returns the data plane of a link, or "" if it is no WireGuard interface.
func kindOf(link netlink.Link) string {
	switch link.(type) {
	case *netlink.Wireguard:
		return "kernel"
	case *netlink.Tuntap:
		return "userspace"
	}
	return ""
}

func toIPNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func fromIPNet(n net.IPNet) (netip.Prefix, bool) {
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, bits := n.Mask.Size()
	addr = addr.Unmap()
	if !ok || addr.BitLen() != bits {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(addr, ones), true
}

func sortByName(out []tunnel.Observed) {
	slices.SortFunc(out, func(a, b tunnel.Observed) int { return strings.Compare(a.Name, b.Name) })
}

//go:build linux

package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// End is one end of a link.
type End struct {
	Host      *Host
	Addresses []netip.Prefix // of the host on the link, with the link's prefix length
}

// Link connects two hosts with a veth pair. On each host the interface has the
// first 15 bytes of the other host's name. The pair is created in the hosts'
// namespaces and never exists in the machine's own.
func (l *Lab) Link(a, b End, mtu int) error {
	nameA, nameB := interfaceName(b.Host), interfaceName(a.Host)
	pair := netlink.NewVeth(netlink.LinkAttrs{Name: nameA, MTU: mtu})
	pair.PeerName = nameB
	pair.PeerMTU = uint32(mtu)
	pair.PeerNamespace = netlink.NsFd(b.Host.namespaces.net.Fd())
	if err := a.Host.netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("link %s with %s: %w", a.Host.name, b.Host.name, err)
	}
	return errors.Join(a.bringUp(nameA), b.bringUp(nameB))
}

func interfaceName(peer *Host) string { return peer.name[:min(len(peer.name), unix.IFNAMSIZ-1)] }

func (e End) bringUp(name string) error {
	link, err := e.Host.netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s on %s: %w", name, e.Host.name, err)
	}
	for _, prefix := range e.Addresses {
		if err := e.Host.addAddress(link, prefix); err != nil {
			return err
		}
	}
	return e.Host.netlink.LinkSetUp(link)
}

// AddAddress adds an address to one of the host's interfaces.
func (h *Host) AddAddress(device string, prefix netip.Prefix) error {
	link, err := h.netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find %s on %s: %w", device, h.name, err)
	}
	return h.addAddress(link, prefix)
}

// RemoveAddress removes an address from one of the host's interfaces.
func (h *Host) RemoveAddress(device string, prefix netip.Prefix) error {
	link, err := h.netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find %s on %s: %w", device, h.name, err)
	}
	return h.netlink.AddrDel(link, &netlink.Addr{IPNet: ipNet(prefix)})
}

// SetMTU sets the MTU of one of the host's interfaces.
func (h *Host) SetMTU(device string, mtu int) error {
	link, err := h.netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find %s on %s: %w", device, h.name, err)
	}
	return h.netlink.LinkSetMTU(link, mtu)
}

func (h *Host) addAddress(link netlink.Link, prefix netip.Prefix) error {
	addr := &netlink.Addr{IPNet: ipNet(prefix)}
	if prefix.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD // a link has two hosts: there are no duplicates to detect
	}
	if err := h.netlink.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("add address %s on %s: %w", prefix, h.name, err)
	}
	return nil
}

// Route routes a prefix to a neighbour of the host.
func (h *Host) Route(prefix netip.Prefix, via netip.Addr) error {
	route := &netlink.Route{Dst: ipNet(prefix), Gw: via.AsSlice()}
	if err := h.netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("route %s via %s on %s: %w", prefix, via, h.name, err)
	}
	return nil
}

// Forward enables IP forwarding on the host.
func (h *Host) Forward() error {
	return errors.Join(h.Sysctl("net/ipv4/ip_forward", "1"), h.Sysctl("net/ipv6/conf/all/forwarding", "1"))
}

// Drop makes the host drop all packets that it forwards between two prefixes,
// in both directions, until Heal. It may be called several times.
func (h *Host) Drop(ctx context.Context, a, b netip.Prefix) error {
	family := func(p netip.Prefix) string {
		if p.Addr().Is6() {
			return "ip6"
		}
		return "ip"
	}
	var rules strings.Builder
	rules.WriteString("add table inet lab\nadd chain inet lab cut { type filter hook forward priority 0; }\n")
	for _, direction := range [][2]netip.Prefix{{a, b}, {b, a}} {
		fmt.Fprintf(&rules, "add rule inet lab cut %[1]s saddr %[2]s %[1]s daddr %[3]s counter drop\n",
			family(a), direction[0], direction[1])
	}
	_, err := h.ExecInput(ctx, rules.String(), "nft", "-f", "-")
	return err
}

// Filter makes the host drop what matches an expression of nft: packets that
// arrive and those that the host itself sends, until Heal.
func (h *Host) Filter(ctx context.Context, match string) error {
	_, err := h.ExecInput(ctx, fmt.Sprintf(`add table inet lab
add chain inet lab arriving { type filter hook prerouting priority -500; }
add chain inet lab sent { type filter hook output priority 500; }
add rule inet lab arriving %[1]s counter drop
add rule inet lab sent %[1]s counter drop
`, match), "nft", "-f", "-")
	return err
}

// Heal removes the effect of all calls of Drop and Filter.
func (h *Host) Heal(ctx context.Context) error {
	// The table is added first because deleting a missing one is an error.
	_, err := h.ExecInput(ctx, "add table inet lab\ndelete table inet lab\n", "nft", "-f", "-")
	return err
}

func ipNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
}

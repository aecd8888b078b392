// Package host looks at this host's own addresses, links and names.
package host

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// Host observes the network namespace that the process is in.
type Host struct {
	// TunnelPrefix is the name prefix of our own interfaces, which are not looked at.
	TunnelPrefix string
	// Prefixes are the datacenter's own: an interface that has only addresses
	// out of them does not lead to the underlay.
	Prefixes func() []catalog.Prefix
	// Routes reads the main table; nil: nobody wants to know.
	Routes func(context.Context) ([]routes.HostRoute, error)
}

// Observe returns the unicast addresses of all interfaces that are not ours,
// and the smallest MTU of those that lead to the underlay.
func (h Host) Observe(ctx context.Context) (plan.Host, error) {
	links, err := net.Interfaces()
	if err != nil {
		return plan.Host{}, fmt.Errorf("list interfaces: %w", err)
	}
	var seen plan.Host
	for _, link := range links {
		if link.Flags&net.FlagUp == 0 || strings.HasPrefix(link.Name, h.TunnelPrefix) {
			continue
		}
		assigned, err := unicast(link)
		if err != nil {
			return plan.Host{}, err
		}
		addresses := addressesOf(assigned)
		seen.Addresses = append(seen.Addresses, addresses...)
		if on := onLink(assigned); link.Flags&net.FlagLoopback == 0 && len(on) > 0 {
			seen.Links = append(seen.Links, plan.Link{Device: link.Name, Prefixes: on})
		}
		if link.Flags&net.FlagLoopback == 0 && slices.ContainsFunc(addresses, h.underlay) {
			seen.UnderlayMTU = smallerMTU(seen.UnderlayMTU, link.MTU)
			seen.Underlay = append(seen.Underlay, link.Name)
		}
	}
	if seen.Overlays, err = h.overlays(); err != nil {
		return plan.Host{}, err
	}
	if h.Routes != nil {
		if seen.Routes, err = h.Routes(ctx); err != nil {
			return plan.Host{}, fmt.Errorf("look at the main table: %w", err)
		}
	}
	slices.Sort(seen.Underlay)
	slices.SortFunc(seen.Links, func(a, b plan.Link) int { return strings.Compare(a.Device, b.Device) })
	slices.SortFunc(seen.Addresses, netip.Addr.Compare)
	seen.Addresses = slices.Compact(seen.Addresses)
	return seen, nil
}

// Resolve returns the addresses of a host name, or the address that it is.
func (h Host) Resolve(ctx context.Context, name string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{addr.Unmap()}, nil
	}
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", name, err)
	}
	for i, addr := range addresses {
		addresses[i] = addr.Unmap()
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	return addresses, nil
}

func (h Host) underlay(addr netip.Addr) bool {
	return !slices.ContainsFunc(h.Prefixes(), func(p catalog.Prefix) bool {
		return p.Kind != catalog.NodePrefix && p.CIDR.Contains(addr)
	})
}

// unicast lists the addresses of an interface, with the length of their prefix.
func unicast(link net.Interface) ([]netip.Prefix, error) {
	assigned, err := link.Addrs()
	if err != nil {
		return nil, fmt.Errorf("list addresses of %s: %w", link.Name, err)
	}
	var addresses []netip.Prefix
	for _, a := range assigned {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && prefix.Addr().IsGlobalUnicast() { // else of another protocol
			addresses = append(addresses, prefix)
		}
	}
	return addresses, nil
}

func addressesOf(assigned []netip.Prefix) []netip.Addr {
	var addresses []netip.Addr
	for _, p := range assigned {
		addresses = append(addresses, p.Addr().Unmap())
	}
	return addresses
}

// onLink lists the prefixes that reach beyond the host itself.
func onLink(assigned []netip.Prefix) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, p := range assigned {
		if !p.IsSingleIP() {
			prefixes = append(prefixes, p.Masked())
		}
	}
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	return slices.Compact(prefixes)
}

// smallerMTU ignores 0, which stands for not known.
func smallerMTU(a, b int) int {
	if a == 0 {
		return b
	}
	return min(a, b)
}

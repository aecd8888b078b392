// Package host observes the addresses, links and routes of this host, which are
// inputs of the planner.
package host

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// Host observes the network namespace of the process.
type Host struct {
	// TunnelPrefix is the name prefix of Meshway's own interfaces, which are
	// ignored; a number follows it.
	TunnelPrefix string
	// Prefixes returns the prefixes of the own datacenter. An interface whose
	// addresses are all in pod or service prefixes is no link of the underlay.
	Prefixes func() []catalog.Prefix
	// Routes returns the routes of the main table; nil: they are not needed.
	Routes func(context.Context) ([]routes.HostRoute, error)
	// PolicyRoutes returns the routes to which the rules of other programs point; nil: they
	// are not needed.
	PolicyRoutes func(context.Context) ([]routes.HostRoute, error)
	// Mark is the firewall mark of the packets of the tunnels.
	Mark uint32
	// Before returns a setting below /proc/sys as it was before Meshway changed it; nil:
	// Meshway changes none.
	Before func(key string) (string, error)
	// APIServer returns the addresses of the API server of the own cluster; nil: there is
	// none.
	APIServer func() []netip.Addr
}

// Observe returns the addresses, links and routes of this host, sorted. An
// interface that cannot be read is an error.
func (h Host) Observe(ctx context.Context) (plan.Host, error) {
	links, err := links()
	if err != nil {
		return plan.Host{}, err
	}
	list, err := devices()
	if err != nil {
		return plan.Host{}, err
	}
	avoid, err := unstable()
	if err != nil {
		return plan.Host{}, err
	}
	var main []routes.HostRoute
	if h.Routes != nil {
		if main, err = h.Routes(ctx); err != nil {
			return plan.Host{}, fmt.Errorf("read the main routing table: %w", err)
		}
	}
	own := h.lanes(list)
	observed := h.describe(withoutLanes(links, own), main)
	observed.Foreign = h.foreign(links, own)
	for i, ports := 0, bridgePorts(list); i < len(observed.Links); i++ {
		observed.Links[i].Ports = ports[observed.Links[i].Device]
	}
	observed.Overlays, observed.Places = h.encapsulating(list), places(links, virtual(list), avoid)
	observed.Strict = strict(filteredDevices(observed))
	observed.NotForwarding = notForwarding(ipv4Root, filteredDevices(observed), main)
	if h.PolicyRoutes != nil {
		if observed.PolicyRoutes, err = h.PolicyRoutes(ctx); err != nil {
			return plan.Host{}, fmt.Errorf("read the routing tables of policy rules: %w", err)
		}
	}
	observed.Advertised = advertised(ipv6Root, main, uplinks(list, own, observed.Underlay), h.forwardedIPv6())
	observed.Routes, observed.IPv6 = main, ipv6Of(ipv6Root)
	var server []netip.Addr
	if h.APIServer != nil {
		server = h.APIServer()
	}
	observed.Needed = needed(server, resolverFiles()...)
	return observed, nil
}

// filteredDevices returns the devices of a host that receive packets from other
// hosts, sorted.
func filteredDevices(h plan.Host) []string {
	devices := slices.Concat(h.Underlay, h.Overlays)
	for _, l := range h.Links {
		devices = append(devices, l.Device)
	}
	slices.Sort(devices)
	return slices.Compact(devices)
}

// strict returns those of the devices whose reverse-path filter for IPv4 is strict.
// The kernel uses the higher of the values for all devices and for one
// (Documentation/networking/ip-sysctl.rst).
func strict(devices []string) []string {
	all := rpFilter("all")
	return slices.DeleteFunc(devices, func(device string) bool { return max(all, rpFilter(device)) != 1 })
}

// ipv4Root has the settings of IPv4 of all devices.
const ipv4Root = "/proc/sys/net/ipv4/conf"

// notForwarding returns the devices from which the kernel forwards no packets, of those
// given and those to pods, if it forwards those of others; sorted.
func notForwarding(root string, devices []string, main []routes.HostRoute) []string {
	off := func(device string) bool {
		text, err := os.ReadFile(filepath.Join(root, device, "forwarding"))
		return err == nil && strings.TrimSpace(string(text)) == "0"
	}
	if off("all") {
		return nil
	}
	devices = slices.Clone(devices)
	for _, r := range main {
		if r.MayBeLocal() && r.Device != "" {
			devices = append(devices, r.Device)
		}
	}
	slices.Sort(devices)
	return slices.DeleteFunc(slices.Compact(devices), func(device string) bool { return !off(device) })
}

// rpFilter returns the setting of a device, 0 if there is no such device.
func rpFilter(device string) int {
	text, err := os.ReadFile(filepath.Join("/proc/sys/net/ipv4/conf", device, "rp_filter"))
	if err != nil {
		return 0
	}
	value, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return value
}

// Resolve returns the addresses of a host name, sorted. A name that is an IP
// address resolves to itself.
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

// link is one interface of the host.
type link struct {
	name     string
	up       bool
	loopback bool
	mtu      int            // bytes
	assigned []netip.Prefix // global unicast addresses with the length of their prefix
}

// links returns the interfaces of this host.
func links() ([]link, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	list := make([]link, 0, len(interfaces))
	for _, i := range interfaces {
		assigned, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("list addresses of %s: %w", i.Name, err)
		}
		list = append(list, link{
			name:     i.Name,
			up:       i.Flags&net.FlagUp != 0,
			loopback: i.Flags&net.FlagLoopback != 0,
			mtu:      i.MTU,
			assigned: globalUnicast(assigned),
		})
	}
	return list, nil
}

// globalUnicast returns the global unicast addresses among those of an interface.
// Addresses of other protocols than IP are ignored.
func globalUnicast(assigned []net.Addr) []netip.Prefix {
	var addresses []netip.Prefix
	for _, a := range assigned {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && prefix.Addr().IsGlobalUnicast() {
			addresses = append(addresses, prefix)
		}
	}
	return addresses
}

// withoutLanes returns the links that are not Meshway's own.
func withoutLanes(links []link, own map[string]bool) []link {
	return slices.DeleteFunc(slices.Clone(links), func(l link) bool { return own[l.name] })
}

// foreign returns the links that are up and have names of Meshway's interfaces, sorted.
func (h Host) foreign(links []link, own map[string]bool) []string {
	var names []string
	for _, l := range links {
		if l.up && tunnel.IsLane(h.TunnelPrefix, l.name) && !own[l.name] {
			names = append(names, l.name)
		}
	}
	slices.Sort(names)
	return names
}

// describe returns the part of a plan.Host that follows from the interfaces that are not
// Meshway's own, and from the routes. Those that are down are ignored.
func (h Host) describe(links []link, list []routes.HostRoute) plan.Host {
	var observed plan.Host
	for _, l := range links {
		if !l.up {
			continue
		}
		addresses := addressesOf(l.assigned)
		observed.Addresses = append(observed.Addresses, addresses...)
		if l.loopback {
			continue
		}
		if prefixes := onLink(l.assigned); len(prefixes) > 0 {
			observed.Links = append(observed.Links, plan.Link{Device: l.name, Prefixes: prefixes})
		}
		if slices.ContainsFunc(addresses, h.isUnderlay) || len(addresses) == 0 && leadsToRouters(l.name, list) {
			observed.UnderlayMTU = smallerMTU(observed.UnderlayMTU, l.mtu)
			observed.Underlay = append(observed.Underlay, l.name)
		}
	}
	slices.Sort(observed.Underlay)
	slices.SortFunc(observed.Links, func(a, b plan.Link) int { return strings.Compare(a.Device, b.Device) })
	slices.SortFunc(observed.Addresses, netip.Addr.Compare)
	observed.Addresses = slices.Compact(observed.Addresses)
	return observed
}

// leadsToRouters reports whether the default route, or one through a router, leaves by a
// device. Without an address, such as that of a host whose address is on the loopback
// device, only that shows what the device is for.
func leadsToRouters(device string, list []routes.HostRoute) bool {
	return slices.ContainsFunc(list, func(r routes.HostRoute) bool {
		return r.Device == device && r.Drop == "" && !r.Throw && (r.Prefix.Bits() == 0 || r.Via.IsValid())
	})
}

// isUnderlay reports whether an address is in no pod or service prefix of the own
// datacenter.
func (h Host) isUnderlay(addr netip.Addr) bool {
	return !slices.ContainsFunc(h.Prefixes(), func(p catalog.Prefix) bool {
		return p.Kind != catalog.NodePrefix && p.CIDR.Contains(addr)
	})
}

// places returns where the addresses of the links are. Of an address that several
// links have, the most widely reachable one counts.
func places(links []link, virtual map[string]bool, unstable map[netip.Addr]bool) map[netip.Addr]plan.Place {
	found := map[netip.Addr]plan.Place{}
	for _, l := range links {
		place := plan.Place{Device: l.name}
		switch {
		case l.loopback:
			place.Kind = plan.Loopback
		case virtual[l.name]:
			place.Kind = plan.Virtual
		}
		for _, addr := range addressesOf(l.assigned) {
			place.Unstable = unstable[addr]
			if other, known := found[addr]; !known || place.Kind < other.Kind {
				found[addr] = place
			}
		}
	}
	return found
}

func addressesOf(assigned []netip.Prefix) []netip.Addr {
	var addresses []netip.Addr
	for _, p := range assigned {
		addresses = append(addresses, p.Addr().Unmap())
	}
	return addresses
}

// onLink returns the prefixes that contain other hosts, sorted.
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

// smallerMTU returns the smaller of two MTUs. An a of 0 is unknown.
func smallerMTU(a, b int) int {
	if a == 0 {
		return b
	}
	return min(a, b)
}

package cluster

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
)

// ProxyMode is kube-proxy's implementation of services.
type ProxyMode string

// The modes of kube-proxy.
const (
	NFTables ProxyMode = "nftables"
	IPTables ProxyMode = "iptables"
)

// Options are the parameters of a cluster. [Numbered] returns complete ones.
type Options struct {
	Name  string
	Nodes int
	// PodCIDRs and ServiceCIDRs have at most one network per address family, the
	// primary family first. Nodes get a /24 (IPv4) and a /64 (IPv6) of PodCIDRs.
	PodCIDRs, ServiceCIDRs []netip.Prefix
	// Underlay is the nodes' network: the router has its first address, the
	// nodes have the following ones.
	Underlay  []netip.Prefix
	ProxyMode ProxyMode // empty: nftables
	// IPMasq makes the bridge plugin masquerade packets of pods to other
	// networks, as many installations do.
	IPMasq bool
	// SeparateLinks gives each node its own link to the router, so that the nodes
	// of a cluster are not neighbours. The router then has routes to the cluster's
	// pods, as a cloud's does, but only for packets from that cluster, and drops
	// packets from the cluster with foreign source addresses.
	SeparateLinks bool
	// OwnIPAM leaves Node.spec.podCIDRs empty, as CNI plugins with their own
	// address management do.
	OwnIPAM bool
}

// Numbered returns options for the n-th cluster of a lab, from 0 to
// MaxNumbered-1, with two nodes. Names and networks of different n differ.
func Numbered(n int) Options {
	names := [...]string{"east", "west", "north", "south", "far", "deep"}
	return Options{
		Name:         names[n],
		Nodes:        2,
		PodCIDRs:     []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", 11+n))},
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", 111+n))},
		Underlay:     []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("203.0.113.%d/27", 32*(n+1)))},
	}
}

// MaxNumbered is the number of clusters that Numbered supports.
const MaxNumbered = 6

// DualStack adds IPv6 networks to options of Numbered(n).
func (o Options) DualStack(n int) Options {
	o.PodCIDRs = append(o.PodCIDRs, netip.MustParsePrefix(fmt.Sprintf("fd00:%d::/48", 11+n)))
	o.ServiceCIDRs = append(o.ServiceCIDRs, netip.MustParsePrefix(fmt.Sprintf("fd00:%d::/112", 111+n)))
	o.Underlay = append(o.Underlay, netip.MustParsePrefix(fmt.Sprintf("2001:db8:%d::/64", n+1)))
	return o
}

func (o Options) validate() error {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	// Interfaces are named after hosts, and their names have at most 15 bytes.
	if !regexp.MustCompile(`^[a-z]([a-z0-9-]{0,10}[a-z0-9])?$`).MatchString(o.Name) {
		refuse("name %q: use at most 12 lower-case letters, digits and dashes", o.Name)
	}
	if o.Nodes < 1 || o.Nodes > 9 {
		refuse("nodes %d: use 1 to 9", o.Nodes)
	}
	if o.ProxyMode != NFTables && o.ProxyMode != IPTables {
		refuse("proxy mode %q: use %s or %s", o.ProxyMode, NFTables, IPTables)
	}
	if len(o.PodCIDRs) == 0 || len(o.PodCIDRs) > 2 {
		refuse("pod CIDRs %s: use one per address family", o.PodCIDRs)
	}
	if len(o.ServiceCIDRs) != len(o.PodCIDRs) || len(o.Underlay) != len(o.PodCIDRs) {
		refuse("service CIDRs %s, underlay %s: use as many as pod CIDRs", o.ServiceCIDRs, o.Underlay)
	}
	for i := range min(len(o.PodCIDRs), len(o.ServiceCIDRs), len(o.Underlay)) {
		if o.PodCIDRs[i].Addr().Is4() != o.ServiceCIDRs[i].Addr().Is4() || o.PodCIDRs[i].Addr().Is4() != o.Underlay[i].Addr().Is4() {
			refuse("networks %s, %s, %s: use the same order of address families", o.PodCIDRs[i], o.ServiceCIDRs[i], o.Underlay[i])
		}
	}
	return errors.Join(errs...)
}

// nodePrefix returns a node's part of a network of pods; the first node is 0.
func nodePrefix(pods netip.Prefix, node int) netip.Prefix {
	bits := 24
	if pods.Addr().Is6() {
		bits = 64
	}
	address := pods.Masked().Addr().AsSlice()
	address[bits/8-1] += byte(node)
	addr, _ := netip.AddrFromSlice(address)
	return netip.PrefixFrom(addr, bits)
}

// nth returns the n-th address of a network.
func nth(network netip.Prefix, n int) netip.Addr {
	addr := network.Masked().Addr()
	for range n {
		addr = addr.Next()
	}
	return addr
}

// join returns the elements of list, separated by commas.
// join returns the elements of list, separated by commas.
func join[T fmt.Stringer](list []T) string {
	var text string
	for i, item := range list {
		if i > 0 {
			text += ","
		}
		text += item.String()
	}
	return text
}

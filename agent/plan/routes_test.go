package plan_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/plan/gatewayplan"
	"github.com/meshway/meshway/agent/plan/nodeplan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// Linux stores the preferred source of an IPv6 route in its nexthop object, for
// all routes that use the object. Routes to nodes are left out: only forwarded
// packets take them.
func TestRoutesWithDifferentSourcesShareNoNexthop(t *testing.T) {
	own := catalog.Prefix{CIDR: netip.MustParsePrefix("2001:db8:1::/48"), Kind: catalog.PodPrefix}
	gateway := withNodes()
	gateway.Host.Addresses = append(gateway.Host.Addresses, netip.MustParseAddr("2001:db8:1::1"))
	gateway.Catalog.Datacenters[0].Prefixes = append(gateway.Catalog.Datacenters[0].Prefixes, own)
	ofGateway, _ := gatewayplan.Compute(gateway)
	node := nodeInputs()
	apart(&node)
	node.Host.Addresses = append(node.Host.Addresses, netip.MustParseAddr("2001:db8:1::9"))
	node.Inventory.Members[0].Prefixes = append(node.Inventory.Members[0].Prefixes, own)
	ofNode, _ := nodeplan.Compute(node)
	for name, c := range map[string]routes.Config{"gateway": ofGateway.Routes, "node": ofNode.Routes} {
		sources, distinct := map[uint32]netip.Addr{}, map[netip.Addr]bool{}
		for _, r := range c.Routes {
			if r.ToNode || r.Prefix.Addr().Is4() {
				continue
			}
			distinct[r.Source] = true
			for _, nexthop := range nexthopsOf(c, r.Nexthop) {
				if first, taken := sources[nexthop]; taken {
					assert.Equal(t, first, r.Source, "%s: %s through nexthop %#x", name, r.Prefix, nexthop)
				}
				sources[nexthop] = r.Source
			}
		}
		assert.Greater(t, len(distinct), 1, "%s: the routes have different sources", name)
	}
}

// nexthopsOf returns the members of a group, or the id itself if it is no group.
func nexthopsOf(c routes.Config, nexthop uint32) []uint32 {
	if i := slices.IndexFunc(c.Groups, func(g routes.Group) bool { return g.ID == nexthop }); i >= 0 {
		return c.Groups[i].Members
	}
	return []uint32{nexthop}
}

func TestSourcesOfPeersAreValidatedByMarkIfTheirAddressesAreRoutedIntoTheTunnels(t *testing.T) {
	for name, c := range map[string]struct {
		prefix string
		want   bool
	}{
		"no":              {"10.5.0.0/16", false},
		"IPv4":            {"192.0.2.2/32", true},
		"another address": {"192.0.2.99/32", false},
		"IPv6":            {"2001:db8:7::/48", false}, // has no reverse-path filter
	} {
		in := running()
		in.Host.Underlay = []string{"eth0"}
		in.Catalog.Datacenters = append(in.Catalog.Datacenters, datacenter("zeta", 5, c.prefix))
		d, _ := gatewayplan.Compute(in)
		mark := routes.Sysctl{Key: "net/ipv4/conf/eth0/src_valid_mark", Value: "1"}
		assert.Equal(t, c.want, slices.Contains(d.Routes.Sysctls, mark), name)
		assert.True(t, slices.IsSortedFunc(d.Routes.Sysctls, func(a, b routes.Sysctl) int { return strings.Compare(a.Key, b.Key) }))
	}
}

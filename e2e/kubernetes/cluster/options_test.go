//go:build linux

package cluster

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNumberedClustersDoNotOverlap(t *testing.T) {
	var all []netip.Prefix
	for n := range MaxNumbered {
		o := Numbered(n).DualStack(n)
		o.ProxyMode = NFTables
		assert.NoError(t, o.validate())
		for _, networks := range [][]netip.Prefix{o.PodCIDRs, o.ServiceCIDRs, o.Underlay} {
			for _, network := range networks {
				assert.Equal(t, network.Masked(), network)
				for _, other := range all {
					assert.False(t, network.Overlaps(other), "%s and %s", network, other)
				}
				all = append(all, network)
			}
		}
	}
}

func TestErrorsOfInvalidOptionsNameTheOption(t *testing.T) {
	for field, change := range map[string]func(*Options){
		"name":       func(o *Options) { o.Name = "Far_Too_Long_A_Name" },
		"nodes":      func(o *Options) { o.Nodes = 0 },
		"proxy mode": func(o *Options) { o.ProxyMode = "ipvs" },
		"pod CIDRs":  func(o *Options) { o.PodCIDRs = nil },
		"underlay":   func(o *Options) { o.Underlay = nil },
		"families":   func(o *Options) { o.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix("fd00::/112")} },
	} {
		o := Numbered(0)
		o.ProxyMode = NFTables
		change(&o)
		assert.ErrorContains(t, o.validate(), field)
	}
}

func TestEachNodeHasItsPartOfThePodNetwork(t *testing.T) {
	assert.Equal(t, "10.11.3.0/24", nodePrefix(netip.MustParsePrefix("10.11.0.0/16"), 3).String())
	assert.Equal(t, "fd00:11:0:3::/64", nodePrefix(netip.MustParsePrefix("fd00:11::/48"), 3).String())
}

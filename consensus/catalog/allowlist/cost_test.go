package allowlist_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/allowlist"
	"github.com/meshway/meshway/consensus/catalog/sponsor"
)

// many returns a record with as many prefixes of nodes, all in the network of the last of
// as many endpoints as a datacenter may have.
func many(n int) (dc catalog.Datacenter, gateways []catalog.Gateway) {
	dc.Name = "west"
	for i := range n {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), 32)
		dc.Prefixes = append(dc.Prefixes, catalog.Prefix{CIDR: p, Kind: catalog.NodePrefix})
	}
	for g := range 63 {
		gateway := catalog.Gateway{Datacenter: "west", Name: fmt.Sprint("gw", g)}
		for e := range 8 {
			gateway.Endpoints = append(gateway.Endpoints, fmt.Sprintf("gw%d-%d.example.org:51820", g, e))
		}
		gateways = append(gateways, gateway)
	}
	for i := range 16 {
		gateways[62].Endpoints = append(gateways[62].Endpoints, fmt.Sprintf("198.51.%d.1:51820", i))
	}
	return dc, gateways
}

// An endpoint with a name costs an allocation each time that it is parsed.
func TestEndpointsAreParsedOncePerCommand(t *testing.T) {
	dc, gateways := many(4096)
	allocations := testing.AllocsPerRun(1, func() {
		assert.Nil(t, allowlist.CheckNew(catalog.Settings{}, sponsor.Sponsors{}, dc, gateways, nil))
	})
	assert.Less(t, allocations, 4096.0)
}

func BenchmarkCheckNew(b *testing.B) {
	dc, gateways := many(4096)
	had := dc.Prefixes[1:]
	for b.Loop() {
		if r := allowlist.CheckNew(catalog.Settings{}, sponsor.Sponsors{}, dc, gateways, nil); r != nil {
			b.Fatal(r)
		}
		if r := allowlist.CheckNew(catalog.Settings{}, sponsor.Sponsors{}, dc, gateways, had); r != nil {
			b.Fatal(r)
		}
	}
}

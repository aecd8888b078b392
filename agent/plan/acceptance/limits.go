package acceptance

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/allowlist"
)

// An honest leader accepts no others (packages allowlist and quota). A hostile one writes what
// it likes into the record of its own datacenter, and signs it.
const mostPrefixes = 4096

// withinLimits returns the record of another datacenter without the prefixes that no honest
// leader accepts. All hosts keep the same ones of too many, the first of them.
func withinLimits(dc catalog.Datacenter, found *plan.Problems) catalog.Datacenter {
	// What is not canonical is left to acceptance, which reports it otherwise.
	isLarge := func(p catalog.Prefix) bool {
		return p.CIDR.IsValid() && p.CIDR.Bits() > 0 && !p.CIDR.Addr().Is4In6() && allowlist.CheckLength(p.CIDR) != nil
	}
	kept := slices.DeleteFunc(slices.Clone(dc.Prefixes), isLarge)
	for _, p := range sortedPrefixes(dc.Prefixes) {
		if isLarge(catalog.Prefix{CIDR: p}) {
			found.AddError("prefix-too-large", plan.DatacenterSubject(dc.Name),
				fmt.Sprintf("prefix %v of datacenter %s is not used: the shortest are /8 (IPv4) and /16 (IPv6)", p, dc.Name),
				fmt.Sprintf("announce smaller prefixes in the configuration of %s, or run meshctl datacenter remove %s if it is compromised", dc.Name, dc.Name))
		}
	}
	dc.Prefixes = kept
	distinct := sortedPrefixes(kept)
	if len(distinct) <= mostPrefixes {
		return dc
	}
	found.AddError("prefix-limit", plan.DatacenterSubject(dc.Name),
		fmt.Sprintf("%d prefixes of datacenter %s are not used: it announces %d, the maximum is %d", len(distinct)-mostPrefixes, dc.Name, len(distinct), mostPrefixes),
		fmt.Sprintf("announce ranges of addresses in %s instead of single ones, or run meshctl datacenter remove %s if it is compromised", dc.Name, dc.Name))
	first := make(map[netip.Prefix]bool, mostPrefixes)
	for _, p := range distinct[:mostPrefixes] {
		first[p] = true
	}
	dc.Prefixes = slices.DeleteFunc(kept, func(p catalog.Prefix) bool { return !first[p.CIDR] })
	return dc
}

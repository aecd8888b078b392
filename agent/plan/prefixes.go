package plan

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
)

// ownedPrefix is a prefix with its owner.
type ownedPrefix struct {
	owner  string // for messages
	prefix netip.Prefix
}

// acceptPrefixes decides which prefixes each datacenter may send from and be
// reached at. The catalog refuses overlaps; should one be there all the same,
// then every gateway must come to the same verdict without asking anybody: the
// overlay wins (the catalog itself runs over it), then the own datacenter
// (routing our own pods away would help nobody), then the first by name.
func acceptPrefixes(in Inputs, own catalog.Datacenter, others []catalog.Datacenter, found *problems) ([]netip.Prefix, []remoteDatacenter) {
	accepted := []ownedPrefix{{"the overlay", in.Catalog.Federation.Overlay}}
	local := acceptPrefixesOf(own, &accepted, found)
	var out []remoteDatacenter
	for i, dc := range others {
		if i > 0 && others[i-1].Name == dc.Name {
			continue // the catalog's key is the name; a second record is noise
		}
		r := remoteDatacenter{name: dc.Name, ordinal: dc.Ordinal}
		if r.ordinal > routes.MaxOrdinal {
			found.add(Problem{
				"ordinal-too-large", Error, datacenterName(dc.Name),
				fmt.Sprintf("its prefixes are not routed: its ordinal %d is over %d", dc.Ordinal, routes.MaxOrdinal),
				"start a new federation; this one has had too many datacenters",
			})
		} else {
			r.prefixes = acceptPrefixesOf(dc, &accepted, found)
		}
		out = append(out, r)
	}
	return local, out
}

// acceptPrefixesOf takes the prefixes of one datacenter that collide with none of
// those before it. One inside another of the same datacenter is legal: node
// addresses often lie in a larger range.
func acceptPrefixesOf(dc catalog.Datacenter, accepted *[]ownedPrefix, found *problems) []netip.Prefix {
	var out []netip.Prefix
	before := *accepted
	for _, p := range sortedPrefixes(dc.Prefixes) {
		if !p.IsValid() || p != p.Masked() || p.Bits() == 0 || p.Addr().Is4In6() {
			found.add(Problem{
				"prefix-invalid", Error, datacenterName(dc.Name),
				fmt.Sprintf("prefix %v is not used: it is not canonical, or it is everything", p),
				fmt.Sprintf("correct prefixes in the configuration of %s", dc.Name),
			})
			continue
		}
		if i := slices.IndexFunc(before, func(c ownedPrefix) bool { return c.prefix.Overlaps(p) }); i >= 0 {
			winner := before[i]
			found.add(Problem{
				"prefix-overlap", Error, datacenterName(dc.Name),
				fmt.Sprintf("prefix %v is not used: it overlaps %v of %s", p, winner.prefix, winner.owner),
				fmt.Sprintf("give %s other addresses, or take the prefix out of its configuration", dc.Name),
			})
			continue
		}
		*accepted = append(*accepted, ownedPrefix{datacenterName(dc.Name), p})
		out = append(out, p)
	}
	return out
}

// aggregate drops the prefixes that lie in another; in is sorted. Sets of nft
// take no overlapping intervals.
func aggregate(in []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range in {
		// A wider one sorts first, and between it and p is only what it holds too.
		if len(out) == 0 || !out[len(out)-1].Overlaps(p) {
			out = append(out, p)
		}
	}
	return out
}

// sortedPrefixes are the distinct ranges of a datacenter.
func sortedPrefixes(in []catalog.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range in {
		out = append(out, p.CIDR)
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// hostPrefix is the prefix of one address.
func hostPrefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// sourceAddress is the address from which this host itself speaks to other
// datacenters: its own address inside a pod or node prefix, so that the other
// side can answer and let it pass, or the overlay address. Addresses of
// service prefixes are on many hosts at once (kube-proxy's IPVS) and are no source.
func sourceAddress(in Inputs, topo topology, f routes.Family) netip.Addr {
	var best netip.Addr
	for _, a := range in.Host.Addresses {
		a = a.Unmap()
		if routes.FamilyOf(a) == f && ownsAddress(topo, a) && (!best.IsValid() || a.Less(best)) {
			best = a
		}
	}
	if !best.IsValid() && routes.FamilyOf(topo.self.Overlay) == f {
		return topo.self.Overlay
	}
	return best
}

func ownsAddress(topo topology, a netip.Addr) bool {
	return slices.ContainsFunc(topo.own.Prefixes, func(p catalog.Prefix) bool {
		return p.Kind != catalog.ServicePrefix && slices.Contains(topo.local, p.CIDR) && p.CIDR.Contains(a)
	})
}

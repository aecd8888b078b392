package replica

import (
	"fmt"
	"net/netip"

	"github.com/meshway/meshway/consensus/catalog"
)

// checkPrefixesFree refuses prefixes of dc that overlap the overlay or a prefix of
// another datacenter.
func (w *writer) checkPrefixesFree(dc catalog.DatacenterName, overlay netip.Prefix, prefixes []catalog.Prefix) *catalog.Refusal {
	others := catalog.OwnersOf(each[catalog.Datacenter](w.txn, tableDatacenters, indexID), dc)
	for i, p := range prefixes {
		field := catalog.At("prefixes", i)
		if p.CIDR.Overlaps(overlay) {
			return &catalog.Refusal{
				Code: catalog.CodePrefixOverlap, Field: field,
				Message: fmt.Sprintf("prefix %s overlaps %s, the overlay of the federation", p.CIDR, overlay),
				Remedy:  "use prefixes outside the overlay",
			}
		}
		if other, owner, found := others.Overlapping(p.CIDR); found {
			return &catalog.Refusal{
				Code: catalog.CodePrefixOverlap, Field: field,
				Message: fmt.Sprintf("prefix %s overlaps prefix %s of datacenter %q", p.CIDR, other, owner),
				Remedy:  "change the prefixes of one of the two: an address can belong to one datacenter only",
			}
		}
	}
	return nil
}

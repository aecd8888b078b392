package quota

import (
	"fmt"

	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// MaxContent is the largest sum of the estimated bytes of the services, exports and
	// slices of all datacenters, and of the results of clients beyond freeResults. The
	// encoding is smaller: a snapshot or an archive with all records has less than its limit
	// of 256 MiB.
	MaxContent = 224 << 20

	// freeContent is the part of MaxContent that datacenters may use up to their own limits.
	// The rest is kept for datacenters that have little.
	freeContent = 192 << 20

	// maxKeptContent is the largest part of the rest that is kept for one datacenter.
	maxKeptContent = 8 << 20

	// freeResults is the number of bytes of stored results of the clients of a datacenter
	// that does not count. Clients that acknowledge their results have a hundredth of it.
	freeResults = 2 << 20
)

// CheckContent returns why a datacenter in more may not add to its services, exports or
// slices, or nil. Once the free part is used, only datacenters with less than an equal share of
// the rest add some, while there is any, so that some that fill the catalog neither keep the others
// from writing nor make backups and joins fail. Without other records a gateway cannot write:
// they do not count.
func CheckContent(before, more Tally) *catalog.Refusal {
	for dc, change := range more.of {
		have := before.of[dc]
		after := have
		after.add(change, 1)
		own := contentOf(after)
		grown := own - contentOf(have)
		if grown <= 0 {
			continue
		}
		all, largest, members := before.content()
		share := min(maxKeptContent, (MaxContent-freeContent)/max(1, members), MaxContent-(all-contentOf(have)))
		all += grown
		if all <= freeContent || own <= share {
			continue
		}
		return &catalog.Refusal{
			Code: catalog.CodeQuota, Field: "memory",
			Message: fmt.Sprintf("the services, exports and slices of all datacenters would have %d bytes, those of datacenter %s %d; when all have more than %d bytes, it may have %d",
				all, dc, own, freeContent, max(0, share)),
			Remedy: fmt.Sprintf("remove what is not needed in the datacenters, of which %s has most", largest),
		}
	}
	return nil
}

// contentOf returns what counts for CheckContent.
func contentOf(u usage) int { return u[resourceContent] + max(0, u[resourceResults]-freeResults) }

// content returns what all datacenters have together, the one that has most, and the number of those that are members.
func (t *Tally) content() (all int, largest catalog.DatacenterName, members int) {
	for dc, u := range t.of {
		own, most := contentOf(u), contentOf(t.of[largest])
		all += own
		if own > most || own == most && dc < largest {
			largest = dc
		}
		if u[resourceGateways] > 0 {
			members++
		}
	}
	return all, largest, members
}

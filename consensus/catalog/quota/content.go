package quota

import (
	"fmt"

	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// MaxContent is how many estimated bytes the services, exports and slices of all
	// datacenters have together. The encoding is smaller: a snapshot or an archive of them
	// and all other records fits into its limit of 256 MiB.
	MaxContent = 224 << 20

	// freeContent is how much of it datacenters may use up to their limits. The rest is
	// kept for datacenters that have little.
	freeContent = 192 << 20

	// maxKeptContent is how much of the rest is kept for each datacenter, in a federation
	// of up to four.
	maxKeptContent = 8 << 20
)

// CheckContent returns why a datacenter in more may not add services, exports or slices, or
// nil. Once the free part is used, only datacenters with less than an equal share of the rest
// add some, so that some that fill the catalog neither keep the others from writing nor make
// backups and joins fail. Other records do not count: without them a gateway cannot write.
func CheckContent(before, more Tally) *catalog.Refusal {
	for dc, change := range more.of {
		if change[resourceContent] <= 0 {
			continue
		}
		all, largest, members := before.content()
		all += change[resourceContent]
		share := min(maxKeptContent, (MaxContent-freeContent)/max(1, members))
		own := before.of[dc][resourceContent] + change[resourceContent]
		if all <= freeContent || own <= share {
			continue
		}
		return &catalog.Refusal{
			Code: catalog.CodeQuota, Field: "memory",
			Message: fmt.Sprintf("the services, exports and slices of all datacenters would have %d bytes, those of datacenter %s %d; with more than %d bytes, a datacenter may have %d",
				all, dc, own, freeContent, share),
			Remedy: fmt.Sprintf("remove what is not needed in the datacenters, of which %s has most", largest),
		}
	}
	return nil
}

// content returns the estimated bytes of the services, exports and slices of all datacenters,
// the one that has most, and the number of those that are members.
func (t *Tally) content() (all int, largest catalog.DatacenterName, members int) {
	for dc, u := range t.of {
		all += u[resourceContent]
		if most := t.of[largest][resourceContent]; u[resourceContent] > most || u[resourceContent] == most && dc < largest {
			largest = dc
		}
		if u[resourceGateways] > 0 {
			members++
		}
	}
	return all, largest, members
}

package dataplane

import (
	"maps"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// departureGrace is how long the tunnel to a datacenter that has left stays:
// the response to its leave request travels through it.
const departureGrace = 2 * time.Second

// departures remembers which datacenters have just left the catalog. It is a
// value: next returns the one of the next pass. The trust in a datacenter ends
// at once: the control port reads the catalog itself.
type departures struct {
	known plan.Catalog
	left  map[catalog.DatacenterName]time.Time
}

// next returns the departures after c was read, and c with the datacenters that
// left less than departureGrace ago.
func (d departures) next(now time.Time, c plan.Catalog) (departures, plan.Catalog) {
	after := departures{left: maps.Clone(d.left)}
	if after.left == nil {
		after.left = map[catalog.DatacenterName]time.Time{}
	}
	for _, dc := range d.known.Datacenters {
		if hasDatacenter(c, dc.Name) {
			delete(after.left, dc.Name)
			continue
		}
		if _, ok := after.left[dc.Name]; !ok {
			after.left[dc.Name] = now
		}
		if now.Sub(after.left[dc.Name]) >= departureGrace {
			delete(after.left, dc.Name)
			continue
		}
		c.Datacenters = append(c.Datacenters, dc)
		c.Gateways = append(c.Gateways, slices.DeleteFunc(slices.Clone(d.known.Gateways), func(g catalog.Gateway) bool {
			return g.Datacenter != dc.Name
		})...)
	}
	after.known = c
	return after, c
}

// pending reports whether a datacenter is kept that has left.
func (d departures) pending() bool { return len(d.left) > 0 }

func hasDatacenter(c plan.Catalog, name catalog.DatacenterName) bool {
	return slices.ContainsFunc(c.Datacenters, func(dc catalog.Datacenter) bool { return dc.Name == name })
}

package agent

import (
	"slices"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// departureGrace is how long the tunnel to a datacenter that has left stays:
// the answer to its leaving travels through it.
const departureGrace = 2 * time.Second

// departures keeps datacenters that have just left in what is planned from.
// Trust is not kept: the control port asks the catalog itself.
type departures struct {
	known plan.Catalog
	left  map[catalog.DatacenterName]time.Time
}

// keep returns c with those that left less than departureGrace ago, and
// whether there are any.
func (d *departures) keep(now time.Time, c plan.Catalog) (plan.Catalog, bool) {
	if d.left == nil {
		d.left = map[catalog.DatacenterName]time.Time{}
	}
	lingering := false
	for _, dc := range d.known.Datacenters {
		if hasDatacenter(c, dc.Name) {
			delete(d.left, dc.Name)
			continue
		}
		if _, ok := d.left[dc.Name]; !ok {
			d.left[dc.Name] = now
		}
		if now.Sub(d.left[dc.Name]) >= departureGrace {
			delete(d.left, dc.Name)
			continue
		}
		lingering = true
		c.Datacenters = append(c.Datacenters, dc)
		c.Gateways = append(c.Gateways, slices.DeleteFunc(slices.Clone(d.known.Gateways), func(g catalog.Gateway) bool {
			return g.Datacenter != dc.Name
		})...)
	}
	d.known = c
	return c, lingering
}

func hasDatacenter(c plan.Catalog, name catalog.DatacenterName) bool {
	return slices.ContainsFunc(c.Datacenters, func(dc catalog.Datacenter) bool { return dc.Name == name })
}

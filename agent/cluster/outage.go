package cluster

import (
	"sync"
	"time"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

// outageMonitor derives from the data plane which datacenters cannot be used. It
// keeps the last result, because a gateway that is cut off keeps what was
// withdrawn before.
type outageMonitor struct {
	reachability func() plan.Reachability

	mu   sync.Mutex // guards last
	last mcs.Outage
}

// current returns the outage as the data plane observes it now.
func (o *outageMonitor) current() mcs.Outage {
	o.mu.Lock()
	defer o.mu.Unlock()
	var others []catalog.DatacenterName
	unreachable := map[catalog.DatacenterName]time.Time{}
	for _, dc := range o.reachability().Datacenters {
		if dc.Self {
			continue
		}
		others = append(others, dc.Name)
		if !dc.Reachable {
			unreachable[dc.Name] = dc.LastReachable()
		}
	}
	o.last = mcs.FindOutage(time.Now(), others, unreachable, o.last)
	return o.last
}

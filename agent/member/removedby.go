package member

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/sponsor"
)

const (
	// removalTimeout bounds one request, and removalRequests how many run at once.
	removalTimeout  = 5 * time.Second
	removalRequests = 8
)

// RemovedBy checks with gateways of other datacenters whether this one was removed
// from the catalog, and returns one gateway of each that reports it; none unless most
// datacenters do. A report counts only if that catalog is at least as new as ours: an
// older one may not have this datacenter yet.
func (m *Member) RemovedBy(ctx context.Context) []catalog.GatewayID {
	view := m.node.View()
	own, _ := view.Datacenter(m.file.Datacenter)
	var mu sync.Mutex
	var others, by []catalog.GatewayID
	var requests errgroup.Group
	requests.SetLimit(removalRequests)
	for _, g := range view.Gateways() {
		if g.Datacenter == m.file.Datacenter {
			continue
		}
		others = append(others, g.ID())
		requests.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, removalTimeout)
			defer cancel()
			report, ok := errors.AsType[*control.NotMemberError](m.port.Client().CheckMembership(ctx, g.ID()))
			if !ok || report.Index < own.ModifiedIndex {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			by = append(by, report.Gateway)
			return nil
		})
	}
	_ = requests.Wait() // no request returns an error
	return mostReport(others, by, view.Sponsors(time.Now()))
}

// mostReport returns one gateway of each datacenter in by, sorted; none unless these are
// more than half of the datacenters of others, and of what these count as (package
// sponsor): no single datacenter of several may cause what follows from a removal.
func mostReport(others, by []catalog.GatewayID, sponsors sponsor.Sponsors) []catalog.GatewayID {
	slices.Sort(by)
	one := slices.CompactFunc(by, func(a, b catalog.GatewayID) bool { return a.Datacenter() == b.Datacenter() })
	all, reported := make(map[catalog.DatacenterName]bool), make(map[catalog.DatacenterName]bool)
	for _, id := range others {
		all[id.Datacenter()] = true
	}
	for _, id := range one {
		reported[id.Datacenter()] = true
	}
	if 2*len(reported) <= len(all) || 2*distinct(reported, sponsors.Of) <= distinct(all, sponsors.Of) {
		return nil
	}
	return one
}

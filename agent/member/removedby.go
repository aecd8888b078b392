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
// more than half of the datacenters of others. Those that count as the same one report as
// one. What follows from a removal deletes the local copy of the catalog, and no single
// datacenter of several may cause that.
func mostReport(others, by []catalog.GatewayID, sponsors sponsor.Sponsors) []catalog.GatewayID {
	all, reported := make(map[catalog.DatacenterName]bool), make(map[catalog.DatacenterName]bool)
	for _, id := range others {
		all[sponsors.Of(id.Datacenter())] = true
	}
	slices.Sort(by)
	one := slices.DeleteFunc(by, func(id catalog.GatewayID) bool {
		as := sponsors.Of(id.Datacenter())
		again := reported[as]
		reported[as] = true
		return again
	})
	if 2*len(one) <= len(all) {
		return nil
	}
	return one
}

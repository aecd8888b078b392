package member

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// removalTimeout bounds one request, and removalRequests how many run at once.
	removalTimeout  = 5 * time.Second
	removalRequests = 8
)

// RemovedBy checks with gateways of other datacenters whether this one was removed
// from the catalog, and returns one that reports it; empty: none does. A report
// counts only if that catalog is at least as new as ours: an older one may not have
// this datacenter yet.
func (m *Member) RemovedBy(ctx context.Context) catalog.GatewayID {
	view := m.node.View()
	own, _ := view.Datacenter(m.file.Datacenter)
	var mu sync.Mutex
	var by catalog.GatewayID
	var requests errgroup.Group
	requests.SetLimit(removalRequests)
	for _, g := range view.Gateways() {
		if g.Datacenter == m.file.Datacenter {
			continue
		}
		requests.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, removalTimeout)
			defer cancel()
			report, ok := errors.AsType[*control.NotMemberError](m.port.Client().CheckMembership(ctx, g.ID()))
			if !ok || report.Index < own.ModifiedIndex {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			if by == "" || report.Gateway < by {
				by = report.Gateway
			}
			return nil
		})
	}
	_ = requests.Wait() // no request returns an error
	return by
}

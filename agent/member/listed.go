package member

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
)

// Listed reports whether the catalog still has this gateway. It fails if too
// few gateways answer; see judgeListings.
func (a *Admission) Listed(ctx context.Context, shared identity.SharedState) (bool, error) {
	enroller, contacts, err := a.enroller(shared)
	if err != nil {
		return false, err
	}
	var ids []catalog.GatewayID
	for _, c := range contacts {
		ids = append(ids, c.Gateway)
	}
	request := &controlpb.EnrolRequest{Gateway: catalog.Gateway{Datacenter: a.File.Datacenter, Name: a.File.Gateway}.Proto(), Ask: true}
	answers := make(map[catalog.GatewayID]bool)
	var mu sync.Mutex
	var requests errgroup.Group
	requests.SetLimit(removalRequests)
	for _, c := range contacts {
		requests.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, removalTimeout)
			defer cancel()
			response, err := enroller.Enrol(ctx, []control.Contact{c}, request)
			if err != nil {
				return nil // it has no answer
			}
			mu.Lock()
			defer mu.Unlock()
			answers[c.Gateway] = response.GetKnown()
			return nil
		})
	}
	_ = requests.Wait() // no request returns an error
	return judgeListings(a.File.Datacenter, ids, answers)
}

// judgeListings returns whether the catalog has a gateway of the datacenter own,
// according to the answers of its contacts. The answer of another gateway of its own
// datacenter suffices, since both have the CA key. Without one, more than half of the
// other datacenters, and at least two, must agree: a gateway that is not in the catalog
// deletes its copy, and no single datacenter may cause that.
func judgeListings(own catalog.DatacenterName, contacts []catalog.GatewayID, answers map[catalog.GatewayID]bool) (listed bool, err error) {
	others := make(map[catalog.DatacenterName]bool)
	agree := map[bool]map[catalog.DatacenterName]bool{true: {}, false: {}}
	sibling := false
	for _, id := range contacts {
		known, answered := answers[id]
		dc := id.Datacenter()
		if dc == own {
			sibling, listed = sibling || answered, listed || answered && known
			continue
		}
		others[dc] = true
		if answered {
			agree[known][dc] = true
		}
	}
	if sibling {
		return listed, nil
	}
	needed := max(len(others)/2+1, 2)
	for _, known := range []bool{true, false} {
		if len(agree[known]) >= needed {
			return known, nil
		}
	}
	return false, fmt.Errorf("check whether the catalog has this gateway: %d of %d other datacenters report that it has, %d that it does not, and none of the own datacenter answers",
		len(agree[true]), len(others), len(agree[false]))
}

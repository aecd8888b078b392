package member

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

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
	counts := countsAs(*shared.Membership, time.Now())
	return judgeListings(a.File.GatewayID(), recordsRemoval(*shared.Membership, a.File.GatewayID()), ids, counts, answers)
}

// UndecidedError reports that too few gateways answer to decide whether the catalog
// has a gateway.
type UndecidedError struct {
	Denied    []catalog.GatewayID      // one of each other datacenter that reports that it does not
	Confirmed int                      // other datacenters that report that it does
	Silent    []catalog.DatacenterName // other datacenters of which no gateway answers
}

// Error implements error.
func (e *UndecidedError) Error() string {
	return fmt.Sprintf("check whether the catalog has this gateway: %d other datacenters report that it has, %d that it does not, %d do not answer, and none of the own datacenter answers",
		e.Confirmed, len(e.Denied), len(e.Silent))
}

// countsAs returns what each datacenter counts as: see package sponsor.
func countsAs(shared identity.DatacenterMembership, now time.Time) func(catalog.DatacenterName) catalog.DatacenterName {
	sponsors := make(map[catalog.DatacenterName]catalog.DatacenterName)
	for _, c := range shared.Contacts {
		if c.Sponsor != "" && now.Before(c.Until) {
			sponsors[c.Gateway.Datacenter()] = c.Sponsor
		}
	}
	return func(dc catalog.DatacenterName) catalog.DatacenterName { return cmp.Or(sponsors[dc], dc) }
}

// distinct returns as how many the datacenters count.
func distinct[V any](datacenters map[catalog.DatacenterName]V, as func(catalog.DatacenterName) catalog.DatacenterName) int {
	found := make(map[catalog.DatacenterName]bool)
	for dc := range datacenters {
		found[as(dc)] = true
	}
	return len(found)
}

// recordsRemoval reports whether the gateways of a datacenter have recorded that the
// catalog has some of them, but not the gateway self.
func recordsRemoval(shared identity.DatacenterMembership, self catalog.GatewayID) bool {
	sibling := false
	for _, c := range shared.Contacts {
		if c.Gateway == self {
			return false
		}
		sibling = sibling || c.Gateway.Datacenter() == self.Datacenter()
	}
	return sibling
}

// judgeListings returns whether the catalog has the gateway self, according to the
// answers of its contacts. The answer of another gateway of its own datacenter suffices,
// since both have the CA key. Without one, more than half of the other datacenters, and
// at least two, must agree, and more than half of what these count as, which as returns: a
// gateway that is not in the catalog deletes its copy, and no single datacenter may cause
// that, also not with those that it has just invited. If the own datacenter has recorded the
// removal, in the shared state that only its gateways write, it is one of those that agree.
func judgeListings(self catalog.GatewayID, recorded bool, contacts []catalog.GatewayID, as func(catalog.DatacenterName) catalog.DatacenterName, answers map[catalog.GatewayID]bool) (listed bool, err error) {
	others := make(map[catalog.DatacenterName]bool) // whether one of its gateways answers
	agree := map[bool]map[catalog.DatacenterName]catalog.GatewayID{true: {}, false: {}}
	sibling := false
	for _, id := range contacts {
		known, answered := answers[id]
		dc := id.Datacenter()
		if dc == self.Datacenter() {
			sibling, listed = sibling || answered, listed || answered && known
			continue
		}
		others[dc] = others[dc] || answered
		if answered {
			agree[known][dc] = id
		}
	}
	if sibling {
		return listed, nil
	}
	recorded = recorded && len(agree[false]) > 0 && len(agree[true]) == 0
	same := func(dc catalog.DatacenterName) catalog.DatacenterName { return dc }
	for _, answer := range []bool{true, false} {
		more, least := 0, 1 // least datacenters that count as different ones
		if !answer {
			least = 2
		}
		if recorded && !answer {
			more = 1
		}
		by, all := agree[answer], len(others)
		if distinct(by, same)+more >= max(all/2+1, 2) && distinct(by, as)+more >= max(distinct(others, as)/2+1, least) {
			return answer, nil
		}
	}
	undecided := &UndecidedError{Denied: slices.Sorted(maps.Values(agree[false])), Confirmed: len(agree[true])}
	for _, dc := range slices.Sorted(maps.Keys(others)) {
		if !others[dc] {
			undecided.Silent = append(undecided.Silent, dc)
		}
	}
	return false, undecided
}

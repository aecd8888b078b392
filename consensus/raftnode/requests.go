package raftnode

import (
	"fmt"
	"sync"
	"time"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// confirmationTime is how long the first request to remove a datacenter that is alive
// waits for the second.
const confirmationTime = 10 * time.Minute

// requestKind is a kind of request whose number is limited for each datacenter.
type requestKind string

const (
	operations requestKind = "leader operations"
	removals   requestKind = "removals of datacenters"
)

// burst returns how many requests of a kind a datacenter may make at once.
func (k requestKind) burst() int {
	if k == removals {
		return 3
	}
	return 5
}

// interval returns how often a datacenter may make another one.
func (k requestKind) interval() time.Duration {
	if k == removals {
		return 10 * time.Minute
	}
	return time.Minute
}

// requests is what this member remembers, as leader, of the requests that any member
// may make and that concern others. One that makes them in a loop would keep the others
// from writing, or remove one after the other. The next leader counts from zero.
type requests struct {
	mu    sync.Mutex                // guards all following fields
	spent map[requestsKey]time.Time // when all requests that were made are paid for
	first map[catalog.DatacenterName]removalRequest
}

type requestsKey struct {
	kind requestKind
	by   catalog.DatacenterName
}

type removalRequest struct {
	by catalog.DatacenterName
	at time.Time
}

// allows reports whether a datacenter may make a request now; r.mu is held.
func (r *requests) allows(kind requestKind, by catalog.DatacenterName, now time.Time) bool {
	return r.spent[requestsKey{kind, by}].Sub(now) <= time.Duration(kind.burst()-1)*kind.interval()
}

// spend records a request that was executed.
func (r *requests) spend(kind requestKind, by catalog.DatacenterName, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spent == nil {
		r.spent = make(map[requestsKey]time.Time)
	}
	key := requestsKey{kind, by}
	from := r.spent[key]
	if from.Before(now) {
		from = now
	}
	r.spent[key] = from.Add(kind.interval())
}

// operation rejects an operation of a gateway whose datacenter has requested too many.
// The own datacenter is not limited: it can end its leadership in any case.
func (r *requests) operation(own catalog.GatewayID, op consensus.LeaderOperation, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	by := op.From.Datacenter()
	if by == own.Datacenter() || r.allows(operations, by, now) {
		return nil
	}
	return fmt.Errorf("%w: datacenter %s has requested %s %d times within minutes: wait %s",
		consensus.ErrRejected, by, operations, operations.burst(), operations.interval())
}

// removal refuses a removal by a datacenter that has removed too many.
func (r *requests) removal(by, of catalog.DatacenterName, now time.Time) *catalog.Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.allows(removals, by, now) {
		return nil
	}
	return &catalog.Refusal{
		Code: consensus.CodeTooManyRequests, Field: "datacenter",
		Message: fmt.Sprintf("datacenter %s has removed %d datacenters within minutes, and %s would be another one", by, removals.burst(), of),
		Remedy:  fmt.Sprintf("wait %s, or run the command in another datacenter", removals.interval()),
	}
}

// confirmed reports whether another datacenter has requested the removal lately. If
// not, it records this request.
func (r *requests) confirmed(by, of catalog.DatacenterName, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, ok := r.first[of]
	if ok && first.by != by && now.Sub(first.at) < confirmationTime {
		delete(r.first, of)
		return true
	}
	if r.first == nil {
		r.first = make(map[catalog.DatacenterName]removalRequest)
	}
	r.first[of] = removalRequest{by, now}
	return false
}

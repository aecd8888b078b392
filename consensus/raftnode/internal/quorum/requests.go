package quorum

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// confirmationTime is how long the first request to remove a datacenter that is alive
// waits for the second.
const confirmationTime = 10 * time.Minute

// RequestKind is a kind of request whose number is limited for each datacenter.
type RequestKind string

// The kinds of requests.
const (
	Operations RequestKind = "leader operations"
	Removals   RequestKind = "removals of datacenters"
)

// burst returns how many requests of a kind a datacenter may make at once.
func (k RequestKind) burst() int {
	if k == Removals {
		return 3
	}
	return 5
}

// interval returns how often a datacenter may make another one.
func (k RequestKind) interval() time.Duration {
	if k == Removals {
		return 10 * time.Minute
	}
	return time.Minute
}

// Requests is what a member remembers, as leader, of the requests that any member
// may make and that concern others. One that makes them in a loop would keep the others
// from writing, or remove one after the other. The next leader counts from zero.
type Requests struct {
	mu      sync.Mutex                // guards all following fields
	spent   map[requestsKey]time.Time // when all requests that were made are paid for
	first   map[catalog.DatacenterName]removalRequest
	refused map[refusedKey]uint64
}

type refusedKey struct {
	author catalog.GatewayID
	code   string
}

type requestsKey struct {
	kind RequestKind
	by   catalog.DatacenterName
}

type removalRequest struct {
	by catalog.DatacenterName
	at time.Time
}

// allows reports whether a datacenter may make a request now; r.mu is held.
func (r *Requests) allows(kind RequestKind, by catalog.DatacenterName, now time.Time) bool {
	return r.spent[requestsKey{kind, by}].Sub(now) <= time.Duration(kind.burst()-1)*kind.interval()
}

// Spend records a request that was executed.
func (r *Requests) Spend(kind RequestKind, by catalog.DatacenterName, now time.Time) {
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

// Operation rejects an operation of a gateway whose datacenter has requested too many.
// The own datacenter is not limited: it can end its leadership in any case.
func (r *Requests) Operation(own catalog.GatewayID, op consensus.LeaderOperation, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	by := op.From.Datacenter()
	if by == own.Datacenter() || r.allows(Operations, by, now) {
		return nil
	}
	return fmt.Errorf("%w: datacenter %s has requested %s %d times within minutes: wait %s",
		consensus.ErrRejected, by, Operations, Operations.burst(), Operations.interval())
}

// Removal refuses a removal by a datacenter that has removed too many.
func (r *Requests) Removal(by, of catalog.DatacenterName, now time.Time) *catalog.Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.allows(Removals, by, now) {
		return nil
	}
	return &catalog.Refusal{
		Code: consensus.CodeTooManyRequests, Field: "datacenter",
		Message: fmt.Sprintf("datacenter %s has removed %d datacenters within minutes, and %s would be another one", by, Removals.burst(), of),
		Remedy:  fmt.Sprintf("wait %s, or run the command in another datacenter", Removals.interval()),
	}
}

// Confirmed reports whether another datacenter has requested the removal lately. If
// not, it records this request.
func (r *Requests) Confirmed(by, of catalog.DatacenterName, now time.Time) bool {
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

// CountRefusal counts a command that was refused.
func (r *Requests) CountRefusal(author catalog.GatewayID, code string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refused == nil {
		r.refused = make(map[refusedKey]uint64)
	}
	r.refused[refusedKey{author, code}]++
}

// Refused returns the numbers of refused commands, sorted by author and code.
func (r *Requests) Refused() []consensus.RefusedCommands {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []consensus.RefusedCommands
	for key, count := range r.refused {
		all = append(all, consensus.RefusedCommands{Author: key.author, Code: key.code, Count: count})
	}
	slices.SortFunc(all, func(a, b consensus.RefusedCommands) int {
		return cmp.Or(cmp.Compare(a.Author, b.Author), cmp.Compare(a.Code, b.Code))
	})
	return all
}

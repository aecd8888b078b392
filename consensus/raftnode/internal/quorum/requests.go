package quorum

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/budget"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/sponsor"
)

// Requests is what a member remembers, as leader, of the requests that any member
// may make and that concern others (package budget). The catalog has them too, so that
// the next leader does not count from zero: from catalog.LevelLimits on (requests to
// remove a datacenter that is alive: catalog.LevelRemoval), and as soon as their entries
// are applied. What the catalog does not have is counted by each member as it is applied.
type Requests struct {
	mu      sync.Mutex            // guards all following fields
	spent   map[payment]time.Time // when all requests that were made are paid for
	applied map[payment]time.Time // the same of changes of members, by the log
	first   map[catalog.DatacenterName]removalRequest
	refused map[refusedKey]uint64
}

// Catalog is what requests are judged by.
type Catalog interface {
	Settings() catalog.Settings
	Datacenters() []catalog.Datacenter
	Sponsors(now time.Time) sponsor.Sponsors
}

// maxRefused is how many counts of refused commands are kept for the gateways of one
// datacenter. Those of further gateways are counted for the datacenter: its CA can issue
// certificates to any number of them.
const maxRefused = 64

// maxFormer is of how many datacenters counts are kept that are no longer members.
const maxFormer = 64

type refusedKey struct {
	author catalog.GatewayID
	code   string
}

type removalRequest struct {
	by catalog.DatacenterName
	at time.Time
}

// allows reports whether a datacenter may make a request now; r.mu is held. Those that count
// as another one may make as many together as each other one.
func (r *Requests) allows(kind budget.Kind, by catalog.DatacenterName, view Catalog, now time.Time) bool {
	sponsors, have := view.Sponsors(now), view.Settings()
	together := now
	for _, dc := range view.Datacenters() {
		until := later(r.spent[payment{kind, dc.Name}], budget.Until(have, kind, dc.Name))
		if dc.Name == by && !kind.Allows(until, now) {
			return false
		}
		if sponsors.Sponsored(dc.Name) && !sponsors.Independent(dc.Name, by) && until.After(now) {
			together = together.Add(until.Sub(now))
		}
	}
	return !sponsors.Sponsored(by) || kind.Allows(together, now) && kind.Allows(r.spent[guestsOf(kind, sponsors.Of(by))], now)
}

// guestsOf returns what those pay with together that count as a datacenter. The catalog has
// only what each of them has used up while it is a member.
func guestsOf(kind budget.Kind, dc catalog.DatacenterName) payment {
	return payment{kind, "guests of " + dc}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Spend records a request that was executed.
func (r *Requests) Spend(kind budget.Kind, by catalog.DatacenterName, view Catalog, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spend(payment{kind, by}, now)
	if sponsors := view.Sponsors(now); sponsors.Sponsored(by) {
		r.spend(guestsOf(kind, sponsors.Of(by)), now)
	}
}

// spend records a request; r.mu is held.
func (r *Requests) spend(p payment, now time.Time) {
	if r.spent == nil {
		r.spent = make(map[payment]time.Time)
	}
	r.forgetPaid(r.spent, now)
	r.spent[p] = p.kind.After(r.spent[p], now)
}

// Operation rejects an operation of a gateway whose datacenter has requested too many.
// The own datacenter is not limited: it can end its leadership in any case.
func (r *Requests) Operation(own catalog.GatewayID, view Catalog, op consensus.LeaderOperation, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	by := op.From.Datacenter()
	if by == own.Datacenter() || r.allows(budget.Operations, by, view, now) {
		return nil
	}
	return fmt.Errorf("%w: datacenter %s has requested %s %d times within minutes: wait %s",
		consensus.ErrRejected, by, budget.Operations, budget.Operations.Burst(), budget.Operations.Interval())
}

// Removal refuses a removal by a datacenter that has removed too many.
func (r *Requests) Removal(by, of catalog.DatacenterName, view Catalog, now time.Time) *catalog.Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.allows(budget.Removals, by, view, now) {
		return nil
	}
	return &catalog.Refusal{
		Code: consensus.CodeTooManyRequests, Field: "datacenter",
		Message: fmt.Sprintf("datacenter %s has removed %d datacenters within minutes, and %s would be another one", by, budget.Removals.Burst(), of),
		Remedy:  fmt.Sprintf("wait %s, or run the command in another datacenter", budget.Removals.Interval()),
	}
}

// NeedsConfirmation reports whether a datacenter that is alive is removed only if a second
// one requests it too: there are at least three, and by is not its sponsor.
func NeedsConfirmation(view Catalog, by, of catalog.DatacenterName, now time.Time) bool {
	return len(view.Datacenters()) > 2 && view.Sponsors(now).Of(of) != by
}

// Confirmed reports whether another datacenter, which does not count as the same (package
// sponsor), has requested the removal lately. If not, it records this request.
func (r *Requests) Confirmed(by, of catalog.DatacenterName, view Catalog, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, ok := r.first[of]
	if !ok || now.Sub(first.at) >= budget.ConfirmationTime {
		first.by = budget.Requested(view.Settings(), of, now)
	}
	if first.by != "" && view.Sponsors(now).Independent(first.by, by) {
		delete(r.first, of)
		return true
	}
	r.forgetFirst(now)
	if r.first == nil {
		r.first = make(map[catalog.DatacenterName]removalRequest)
	}
	r.first[of] = removalRequest{by, now}
	return false
}

// Members refuses a change of the members by a datacenter that has made too many, by the
// time of day, and else records it.
func (r *Requests) Members(cmd *catalogpb.Command, view Catalog, at, now time.Time) *catalog.Refusal {
	if !changesMembers(cmd) && cmd.GetCreateToken() == nil {
		return nil
	}
	sponsors := view.Sponsors(at)
	if refusal := refuseSponsored(cmd, view, sponsors); refusal != nil {
		return refusal
	}
	payments := memberChange(cmd, sponsors, at)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range payments {
		if !p.kind.Allows(r.applied[p], at) || !p.kind.Allows(r.spent[p], at) {
			return refuseMembers(p.kind, p.by)
		}
	}
	for _, p := range payments {
		r.spend(p, now)
	}
	return nil
}

func refuseMembers(kind budget.Kind, by catalog.DatacenterName) *catalog.Refusal {
	refusal := &catalog.Refusal{
		Code: consensus.CodeTooManyRequests, Field: "gateway",
		Message: fmt.Sprintf("datacenter %s has enrolled and removed gateways, or admitted datacenters, %d times within minutes",
			by, kind.Burst()),
		Remedy: fmt.Sprintf("wait %s for each further one; if no operator of %s does this, look for a gateway there that restarts in a loop, or for an intruder",
			kind.Interval(), by),
	}
	if kind == budget.Admissions {
		refusal.Field = "datacenter"
		refusal.Message = fmt.Sprintf("datacenter %s has admitted %d datacenters within days", by, kind.Burst())
		refusal.Remedy = fmt.Sprintf("create the token in another datacenter (meshctl token create), or wait %s for each further one", kind.Interval())
	}
	return refusal
}

func (r *Requests) countApplied(p payment, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.applied == nil {
		r.applied = make(map[payment]time.Time)
	}
	r.forgetPaid(r.applied, at)
	r.applied[p] = p.kind.Bound(p.kind.After(r.applied[p], at), at)
}

// CountRefusal counts a command that was refused.
func (r *Requests) CountRefusal(author catalog.GatewayID, code string, view Catalog) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refused == nil {
		r.refused = make(map[refusedKey]uint64)
	}
	key := refusedKey{author, code}
	if _, known := r.refused[key]; !known && r.refusedOf(author.Datacenter()) >= maxRefused {
		key.author = catalog.GatewayID(author.Datacenter())
	}
	if r.refused[key]++; r.refused[key] == 1 {
		r.forgetFormer(view)
	}
}

// refusedOf returns the number of counts of the gateways of a datacenter; r.mu is held.
func (r *Requests) refusedOf(dc catalog.DatacenterName) (n int) {
	for key := range r.refused {
		if key.author.Datacenter() == dc && key.author != catalog.GatewayID(dc) {
			n++
		}
	}
	return n
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

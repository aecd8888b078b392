// Package quota bounds what the records of one datacenter cost the members of the
// others.
package quota

import (
	"fmt"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/sponsor"
)

// Limits bound what the records of one datacenter cost the members of the others.
// The leader applies them to what would enter the log (replica.State.Judge). Apply does
// not, so that members with other limits apply the same log. A datacenter above a
// limit, by an earlier build or because its limit was higher, keeps its records; it can
// change and remove them, and not add any.
type Limits struct {
	Gateways     int
	Prefixes     int
	Services     int
	Exports      int
	Slices       int
	Endpoints    int
	Observations int // by its gateways
	Tokens       int // that its gateways created, in the catalog until a week after they expired
	Clients      int // processes of its gateways that wrote in the last day
	Memory       int // estimated bytes on each member
}

// DefaultLimits returns the limits of a federation whose members set no others. They are several times what a
// cluster of 5,000 nodes needs.
func DefaultLimits() Limits {
	return Limits{
		Gateways: 60, Prefixes: 4096, Services: 10_000, Exports: 5_000, Slices: 10_000, Endpoints: 100_000,
		Observations: 10_000, Tokens: 256, Clients: 512, Memory: 48 << 20,
	}
}

// Check returns why a change of more is refused, or nil: of the datacenters in more,
// none may exceed its limits (see Of), unless it uses no more than in before. It calls
// sponsors only if one is above a default, or large.
func (l Limits) Check(before, more Tally, s catalog.Settings, sponsors func() sponsor.Sponsors) *catalog.Refusal {
	for dc, change := range more.of {
		after := before.of[dc]
		after.add(change, 1)
		r := l.check(dc, before.of[dc], after)
		if r != nil {
			r = l.Of(s, sponsors(), dc).check(dc, before.of[dc], after)
		}
		if r == nil && change[resourceMemory] > 0 && after[resourceMemory] > l.Memory/smallPart {
			r = l.checkSponsored(dc, before, change[resourceMemory], sponsors())
		}
		if r != nil {
			return r
		}
	}
	return nil
}

// smallPart is the part of the memory of a datacenter that each has that counts as another
// one, whatever the others have that count as the same one.
const smallPart = 16

// sponsoredSize is how much memory those have together that count as one datacenter (package
// sponsor) without being it, in limits of one: those that it invents cost the others as much
// as two that are large.
const sponsoredSize = 2

// checkSponsored refuses more memory of a datacenter that counts as another one, if all that
// do have too much together. The sponsor has its own limit.
func (l Limits) checkSponsored(dc catalog.DatacenterName, before Tally, more int, sponsors sponsor.Sponsors) *catalog.Refusal {
	if !sponsors.Sponsored(dc) {
		return nil
	}
	all, largest := more, dc
	for other, u := range before.of {
		if !sponsors.Sponsored(other) || sponsors.Independent(other, dc) {
			continue
		}
		all += u[resourceMemory]
		if u[resourceMemory] > before.of[largest][resourceMemory] {
			largest = other
		}
	}
	if all <= sponsoredSize*l.Memory {
		return nil
	}
	return &catalog.Refusal{
		Code: catalog.CodeQuota, Field: "memory",
		Message: fmt.Sprintf("the datacenters that datacenter %s invited in the last week would have %d bytes in the catalog together, the maximum is %d; %s has most",
			sponsors.Of(dc), all, sponsoredSize*l.Memory, largest),
		Remedy: fmt.Sprintf("remove what is not needed, wait until a week has passed since they joined, or, if %s is not to be a member, run meshctl datacenter remove %s on a gateway of %s",
			largest, largest, sponsors.Of(dc)),
	}
}

func (l Limits) check(dc catalog.DatacenterName, before, after usage) *catalog.Refusal {
	for r, c := range l.byResource() {
		if after[r] <= c.most || after[r] <= before[r] {
			continue
		}
		unit := ""
		if c.field == "memory" {
			unit = " bytes"
		}
		return &catalog.Refusal{
			Code: catalog.CodeQuota, Field: c.field,
			Message: fmt.Sprintf("datacenter %q would have %d%s of %s in the catalog, the maximum is %d", dc, after[r], unit, c.field, c.most),
			Remedy:  c.remedy,
		}
	}
	return nil
}

type limit struct {
	field  string
	most   int
	remedy string
}

func (l Limits) byResource() [resourceCount]limit {
	const fewer = "remove what is not needed; a cluster of more than that can be divided into several datacenters"
	return [resourceCount]limit{
		resourceGateways:     {"gateways", l.Gateways, "use fewer gateways, or divide the cluster into several datacenters"},
		resourcePrefixes:     {"prefixes", l.Prefixes, "announce ranges of addresses instead of single ones"},
		resourceServices:     {"services", l.Services, fewer},
		resourceExports:      {"exports", l.Exports, fewer},
		resourceSlices:       {"slices", l.Slices, fewer},
		resourceEndpoints:    {"endpoints", l.Endpoints, fewer},
		resourceObservations: {"observations", l.Observations, "use fewer gateways"},
		resourceTokens:       {"tokens", l.Tokens, "wait until old tokens are deleted, seven days after they expired"},
		resourceClients:      {"clients", l.Clients, "find out why the gateways restart so often; the records of a process are deleted after a day"},
		resourceMemory:       {"memory", l.Memory, fewer},
		resourceContent:      {"memory", l.Memory, fewer}, // CheckContent limits the sum over all datacenters
		resourceResults:      {"memory", l.Memory, fewer},
	}
}

package quota

import (
	"maps"

	"github.com/meshway/meshway/consensus/catalog"
)

// resource is something of which the records of a datacenter use an amount.
type resource int

const (
	resourceGateways resource = iota
	resourcePrefixes
	resourceServices
	resourceExports
	resourceSlices
	resourceEndpoints
	resourceObservations
	resourceTokens
	resourceClients
	resourceMemory  // estimated bytes
	resourceContent // those of services, exports and slices
	resourceResults // those of the results of clients
	resourceCount
)

// usage is what records cost every member.
type usage [resourceCount]int

func (u *usage) add(o usage, sign int) {
	for r := range u {
		u[r] += sign * o[r]
	}
}

// Tally is what the records of each datacenter cost.
type Tally struct {
	of      map[catalog.DatacenterName]usage
	clients int
}

// NewTally returns the tally of no records.
func NewTally() Tally { return Tally{of: make(map[catalog.DatacenterName]usage)} }

// Clone returns a copy of t.
func (t *Tally) Clone() Tally { return Tally{of: maps.Clone(t.of), clients: t.clients} }

// Clients returns the number of clients of all datacenters.
func (t *Tally) Clients() int { return t.clients }

// Replace counts a change of a record. A nil before or after is no record.
func (t *Tally) Replace(before, after any) {
	t.count(before, -1)
	t.count(after, 1)
}

// Add adds all that o has counted.
func (t *Tally) Add(o Tally) {
	for dc, u := range o.of {
		t.add(dc, u, 1)
	}
}

func (t *Tally) count(record any, sign int) {
	if owner, cost, ok := costOf(record); ok {
		t.add(owner, cost, sign)
	}
}

func (t *Tally) add(owner catalog.DatacenterName, cost usage, sign int) {
	u := t.of[owner]
	u.add(cost, sign)
	if u == (usage{}) {
		delete(t.of, owner)
	} else {
		t.of[owner] = u
	}
	t.clients += sign * cost[resourceClients]
}

// Estimates of memory, in bytes. A test compares them with the heap.
const (
	recordMemory   = 1 << 10 // a record of average fields and its place in the indexes
	textMemory     = 24      // of a string beside its bytes
	endpointMemory = 96
	prefixMemory   = 64
	portMemory     = 80
	labelMemory    = 96 // of an entry of a map
	resultMemory   = 40
)

// costOf returns the owner and the cost of a record. Some records, and a nil, have
// no owner.
func costOf(record any) (owner catalog.DatacenterName, u usage, ok bool) {
	u[resourceMemory] = recordMemory
	switch r := record.(type) {
	case *catalog.Datacenter:
		u[resourcePrefixes] = len(r.Prefixes)
		u[resourceMemory] += len(r.CACertificate) + prefixMemory*len(r.Prefixes)
		for _, s := range r.Successions {
			u[resourceMemory] += len(s.Predecessor) + len(s.Certificate)
		}
		return r.Name, u, true
	case *catalog.Gateway:
		u[resourceGateways] = 1
		u[resourceMemory] += memoryOf(r.Endpoints...) + memoryOf(r.Controls...)
		return r.Datacenter, u, true
	case *catalog.Token:
		u[resourceTokens] = 1
		return r.CreatedBy.Datacenter(), u, true
	case *catalog.Service:
		u[resourceServices] = 1
		u[resourceMemory] += memoryOf(r.Instance) + portMemory*len(r.Ports) + memoryOfLabels(r.Labels)
		u[resourceContent] = u[resourceMemory]
		return r.Datacenter, u, true
	case *catalog.Observation:
		u[resourceObservations] = 1
		return r.Observer.Datacenter(), u, true
	case *catalog.Export:
		u[resourceExports] = 1
		u[resourceMemory] += memoryOfPorts(r.Ports) + memoryOfLabels(r.Labels) + memoryOfLabels(r.Annotations)
		u[resourceContent] = u[resourceMemory]
		return r.Datacenter, u, true
	case *catalog.EndpointSlice:
		u[resourceSlices], u[resourceEndpoints] = 1, len(r.Endpoints)
		u[resourceMemory] += memoryOfPorts(r.Ports) + memoryOfEndpoints(r.Endpoints)
		u[resourceContent] = u[resourceMemory]
		return r.Datacenter, u, true
	case *catalog.Client:
		u[resourceClients] = 1
		u[resourceResults] = memoryOfResults(r.Results)
		u[resourceMemory] += u[resourceResults]
		return r.Author.Datacenter(), u, true
	}
	return "", usage{}, false
}

func memoryOf(texts ...string) (n int) {
	for _, s := range texts {
		n += len(s) + textMemory
	}
	return n
}

func memoryOfLabels(labels map[string]string) (n int) {
	for k, v := range labels {
		n += len(k) + len(v) + labelMemory
	}
	return n
}

func memoryOfPorts(ports []catalog.ExportPort) int {
	n := portMemory * len(ports)
	for _, p := range ports {
		n += len(p.Name) + len(p.AppProtocol)
	}
	return n
}

func memoryOfEndpoints(endpoints []catalog.Endpoint) int {
	n := endpointMemory * len(endpoints)
	for _, e := range endpoints {
		n += len(e.Hostname) + len(e.Zone)
	}
	return n
}

func memoryOfResults(results []catalog.StoredResult) int {
	n := resultMemory * len(results)
	for _, r := range results {
		if r.Refusal != nil {
			n += memoryOf(r.Refusal.Code, r.Refusal.Field, r.Refusal.Message, r.Refusal.Remedy)
		}
	}
	return n
}

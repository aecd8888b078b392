package catalog

import (
	"maps"

	"github.com/hashicorp/go-memdb"
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
	resourceMemory // estimated bytes
	resourceCount
)

// usage is what records cost every member.
type usage [resourceCount]int

func (u *usage) add(o usage, sign int) {
	for r := range u {
		u[r] += sign * o[r]
	}
}

// tally is the usage of each datacenter and of all.
type tally struct {
	of    map[DatacenterName]usage
	total usage
}

func newTally() tally { return tally{of: make(map[DatacenterName]usage)} }

func (t tally) clone() tally { return tally{of: maps.Clone(t.of), total: t.total} }

// apply counts changes of records.
func (t *tally) apply(changes memdb.Changes) {
	for _, c := range changes {
		t.count(c.Before, -1)
		t.count(c.After, 1)
	}
}

func (t *tally) count(record any, sign int) {
	owner, cost, ok := costOf(record)
	if !ok {
		return
	}
	u := t.of[owner]
	u.add(cost, sign)
	if u == (usage{}) {
		delete(t.of, owner)
	} else {
		t.of[owner] = u
	}
	t.total.add(cost, sign)
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
func costOf(record any) (owner DatacenterName, u usage, ok bool) {
	u[resourceMemory] = recordMemory
	switch r := record.(type) {
	case *Datacenter:
		u[resourcePrefixes] = len(r.Prefixes)
		u[resourceMemory] += len(r.CACertificate) + prefixMemory*len(r.Prefixes)
		return r.Name, u, true
	case *Gateway:
		u[resourceGateways] = 1
		u[resourceMemory] += memoryOf(r.Endpoints...) + memoryOf(r.Controls...)
		return r.Datacenter, u, true
	case *Token:
		u[resourceTokens] = 1
		return r.CreatedBy.Datacenter(), u, true
	case *Service:
		u[resourceServices] = 1
		u[resourceMemory] += memoryOf(r.Instance) + portMemory*len(r.Ports) + memoryOfLabels(r.Labels)
		return r.Datacenter, u, true
	case *Observation:
		u[resourceObservations] = 1
		return r.Observer.Datacenter(), u, true
	case *Export:
		u[resourceExports] = 1
		u[resourceMemory] += memoryOfPorts(r.Ports) + memoryOfLabels(r.Labels) + memoryOfLabels(r.Annotations)
		return r.Datacenter, u, true
	case *EndpointSlice:
		u[resourceSlices], u[resourceEndpoints] = 1, len(r.Endpoints)
		u[resourceMemory] += memoryOfPorts(r.Ports) + memoryOfEndpoints(r.Endpoints)
		return r.Datacenter, u, true
	case *client:
		u[resourceClients] = 1
		u[resourceMemory] += memoryOfResults(r.Results)
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

func memoryOfPorts(ports []ExportPort) int {
	n := portMemory * len(ports)
	for _, p := range ports {
		n += len(p.Name) + len(p.AppProtocol)
	}
	return n
}

func memoryOfEndpoints(endpoints []Endpoint) int {
	n := endpointMemory * len(endpoints)
	for _, e := range endpoints {
		n += len(e.Hostname) + len(e.Zone)
	}
	return n
}

func memoryOfResults(results []storedResult) int {
	n := resultMemory * len(results)
	for _, r := range results {
		if r.Refusal != nil {
			n += memoryOf(r.Refusal.Code, r.Refusal.Field, r.Refusal.Message, r.Refusal.Remedy)
		}
	}
	return n
}

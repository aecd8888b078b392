package cluster

import (
	"maps"
	"slices"
	"sync"

	"github.com/meshway/meshway/agent/plan"
)

// Problems collects the problems of several sources, for the status. The zero
// value is ready.
type Problems struct {
	mu       sync.Mutex // guards bySource
	bySource map[string][]plan.Problem
}

// Source returns a function that replaces the problems of the named source.
func (p *Problems) Source(name string) func([]plan.Problem) {
	return func(problems []plan.Problem) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.bySource == nil {
			p.bySource = map[string][]plan.Problem{}
		}
		p.bySource[name] = slices.Clone(problems)
	}
}

// All returns the problems of all sources, in the order of their names.
func (p *Problems) All() []plan.Problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []plan.Problem
	for _, source := range slices.Sorted(maps.Keys(p.bySource)) {
		all = append(all, p.bySource[source]...)
	}
	return all
}

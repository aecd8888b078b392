package main

import (
	"maps"
	"slices"
	"sync"

	"github.com/meshway/meshway/agent/plan"
)

// notices gathers what those who run beside the agent have to tell the
// operator, until they take it back.
type notices struct {
	mu sync.Mutex // guards all following fields
	by map[string][]plan.Problem
}

func newNotices() *notices { return &notices{by: make(map[string][]plan.Problem)} }

// of returns what replaces the problems of one source.
func (n *notices) of(source string) func([]plan.Problem) {
	return func(problems []plan.Problem) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.by[source] = slices.Clone(problems)
	}
}

// all gives the problems of all sources, in the order of their names.
func (n *notices) all() []plan.Problem {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []plan.Problem
	for _, source := range slices.Sorted(maps.Keys(n.by)) {
		all = append(all, n.by[source]...)
	}
	return all
}

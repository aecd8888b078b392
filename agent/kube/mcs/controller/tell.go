package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	tellInterval = time.Second
	// maxNamespaces bounds the lines about missing namespaces: a cluster may well
	// have none of another's.
	maxNamespaces = 8
)

// tell tells the operator what is wrong until ctx ends, and takes it back then.
func (c *Controller) tell(ctx context.Context) {
	if c.conf.Report == nil {
		return
	}
	defer c.conf.Report(nil)
	ticks := time.NewTicker(tellInterval)
	defer ticks.Stop()
	var told []plan.Problem
	var strays strays
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticks.C:
			problems := c.troubles.problems(now)
			if local := c.local.Load(); local != nil {
				problems = append(problems, strays.problems(c.conf.Catalog.View(), c.conf.Datacenter, local)...)
			}
			if !slices.Equal(problems, told) {
				told = problems
				c.conf.Report(problems)
			}
		}
	}
}

// strays are the namespaces of other datacenters' exports. It finds them anew
// only when the catalog has changed.
type strays struct {
	view *catalog.View
	of   []stray // sorted by namespace
}

type stray struct {
	namespace string
	services  int
	first     catalog.ExportKey
}

// problems tells of the namespaces that this cluster does not have: nothing is
// imported into them, and there is no object to say so.
func (s *strays) problems(view *catalog.View, own catalog.DatacenterName, local *local) []plan.Problem {
	if s.view == nil || s.view.Index() != view.Index() {
		s.view, s.of = view, findStrays(view, own)
	}
	var problems []plan.Problem
	further := 0
	for _, n := range s.of {
		switch {
		case local.namespace(n.namespace):
		case len(problems) == maxNamespaces:
			further++
		default:
			problems = append(problems, n.problem())
		}
	}
	if further > 0 {
		problems = append(problems, plan.Problem{
			Code: namespaceMissing, Severity: plan.Warning, Subject: fmt.Sprintf("%d further namespaces", further),
			Message: "other datacenters export services from namespaces that this cluster does not have",
			Remedy:  "create those whose services should be used here",
		})
	}
	return problems
}

const namespaceMissing = "namespace-missing"

func (n stray) problem() plan.Problem {
	what := "1 service is"
	if n.services > 1 {
		what = fmt.Sprintf("%d services are", n.services)
	}
	return plan.Problem{
		Code: namespaceMissing, Severity: plan.Warning, Subject: "namespace " + n.namespace,
		Message: fmt.Sprintf("this cluster does not have it, so %s not imported, such as %s of datacenter %s", what, n.first.Name, n.first.Datacenter),
		Remedy:  "kubectl create namespace " + n.namespace + ", if the services should be used here",
	}
}

func findStrays(view *catalog.View, own catalog.DatacenterName) []stray {
	found := make(map[string]*stray)
	seen := make(map[catalog.ServiceName]bool)
	for _, e := range view.Exports(catalog.ExportFilter{}) {
		name := catalog.ServiceName{Namespace: e.Namespace, Name: e.Name}
		if e.Datacenter == own || seen[name] {
			continue
		}
		seen[name] = true
		if found[e.Namespace] == nil {
			found[e.Namespace] = &stray{namespace: e.Namespace, first: e.ExportKey}
		}
		found[e.Namespace].services++
	}
	var all []stray
	for _, n := range found {
		all = append(all, *n)
	}
	slices.SortFunc(all, func(a, b stray) int { return cmp.Compare(a.namespace, b.namespace) })
	return all
}

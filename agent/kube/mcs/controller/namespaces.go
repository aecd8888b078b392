package controller

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

const (
	codeNamespaceMissing = "namespace-missing"
	// maxMissingNamespaces limits the problems about missing namespaces: a cluster
	// may have none of the namespaces of another one.
	maxMissingNamespaces = 8
)

// missingNamespaces finds the namespaces of other datacenters' exports that this
// cluster does not have. It keeps the list of namespaces for one index of the catalog.
type missingNamespaces struct {
	view *replica.View
	all  []exportingNamespace // of other datacenters, sorted by name
}

// exportingNamespace is a namespace from which other datacenters export services.
type exportingNamespace struct {
	name     string
	services int
	first    catalog.ExportKey
}

// problems returns the problems of the namespaces for which exists is false: their
// services are not imported, and there is no object that can show it.
func (m *missingNamespaces) problems(view *replica.View, own catalog.DatacenterName, exists func(string) bool) []plan.Problem {
	if m.view == nil || m.view.Index() != view.Index() {
		m.view, m.all = view, exportingNamespaces(view, own)
	}
	var problems []plan.Problem
	further := 0
	for _, n := range m.all {
		switch {
		case exists(n.name):
		case len(problems) == maxMissingNamespaces:
			further++
		default:
			problems = append(problems, n.problem())
		}
	}
	if further > 0 {
		problems = append(problems, plan.Problem{
			Code:     codeNamespaceMissing,
			Severity: plan.Warning,
			Subject:  fmt.Sprintf("%d further namespaces", further),
			Message:  fmt.Sprintf("%d further namespaces from which other datacenters export services do not exist in this cluster", further),
			Remedy:   "create those whose services should be used in this cluster",
		})
	}
	return problems
}

func (n exportingNamespace) problem() plan.Problem {
	services := "1 service is"
	if n.services > 1 {
		services = fmt.Sprintf("%d services are", n.services)
	}
	return plan.Problem{
		Code:     codeNamespaceMissing,
		Severity: plan.Warning,
		Subject:  "namespace " + n.name,
		Message: fmt.Sprintf("namespace %s does not exist in this cluster, so %s not imported, such as %s of datacenter %s",
			n.name, services, n.first.Name, n.first.Datacenter),
		Remedy: fmt.Sprintf("run kubectl create namespace %s if the services should be used in this cluster", n.name),
	}
}

func exportingNamespaces(view *replica.View, own catalog.DatacenterName) []exportingNamespace {
	found := make(map[string]*exportingNamespace)
	counted := make(map[catalog.ServiceName]bool)
	for _, e := range view.Exports(replica.ExportFilter{}) {
		name := catalog.ServiceName{Namespace: e.Namespace, Name: e.Name}
		if e.Datacenter == own || counted[name] {
			continue
		}
		counted[name] = true
		if found[e.Namespace] == nil {
			found[e.Namespace] = &exportingNamespace{name: e.Namespace, first: e.ExportKey}
		}
		found[e.Namespace].services++
	}
	var all []exportingNamespace
	for _, n := range found {
		all = append(all, *n)
	}
	slices.SortFunc(all, func(a, b exportingNamespace) int { return cmp.Compare(a.name, b.name) })
	return all
}

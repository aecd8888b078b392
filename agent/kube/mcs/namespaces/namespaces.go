// Package namespaces finds what is wrong with the namespaces of a cluster into which
// services are imported.
package namespaces

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

const (
	codeMissing = "namespace-missing"
	// maxMissing limits the problems about missing namespaces: a cluster
	// may have none of the namespaces of another one.
	maxMissing = 8
)

// Missing finds the namespaces of other datacenters' exports that this cluster does not
// have. It keeps the list of namespaces for one index of the catalog. The zero value is
// ready.
type Missing struct {
	view *replica.View
	all  []exportingNamespace // of other datacenters, sorted by name
}

// exportingNamespace is a namespace from which other datacenters export services.
type exportingNamespace struct {
	name     string
	services int
	first    catalog.ExportKey
}

// Problems returns the problems of the namespaces for which exists is false: their
// services are not imported, and there is no object that can show it.
func (m *Missing) Problems(view *replica.View, own catalog.DatacenterName, exists func(string) bool) []plan.Problem {
	if m.view == nil || m.view.Index() != view.Index() {
		m.view, m.all = view, exportingNamespaces(view, own)
	}
	var problems []plan.Problem
	further := 0
	for _, n := range m.all {
		switch {
		case exists(n.name):
		case len(problems) == maxMissing:
			further++
		default:
			problems = append(problems, n.problem())
		}
	}
	if further > 0 {
		problems = append(problems, plan.Problem{
			Code:     codeMissing,
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
		Code:     codeMissing,
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

// InvalidImport returns the problem of a namespace that has mcs.ImportAnnotation with a
// value that is not valid.
func InvalidImport(namespace, value string) plan.Problem {
	return plan.Problem{
		Code:     "import-annotation",
		Severity: plan.Warning,
		Subject:  "namespace " + namespace,
		Message: fmt.Sprintf("namespace %s has the annotation %s with the value %q, which is not valid, so no registered services are imported",
			namespace, mcs.ImportAnnotation, catalog.Shorten(value)),
		Remedy: fmt.Sprintf("run kubectl annotate --overwrite namespace %s %s=true, or use names of datacenters separated by commas",
			namespace, mcs.ImportAnnotation),
	}
}

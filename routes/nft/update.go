//go:build linux

package nft

import (
	"slices"
	"strings"

	"sigs.k8s.io/knftables"

	"github.com/meshway/meshway/routes"
)

// Contents names the objects of a table.
type Contents struct {
	Chains, Sets, Counters []string
	Others                 []string // of kinds that Meshway's table does not have
}

// equal reports whether both have the same names, in any order.
func (c Contents) equal(other Contents) bool {
	same := func(a, b []string) bool {
		return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
	}
	return same(c.Chains, other.Chains) && same(c.Sets, other.Sets) && same(c.Counters, other.Counters) && same(c.Others, other.Others)
}

// RenderUpdate adds to a transaction the operations that turn Meshway's table with the
// contents found into that of fw. Counters keep their values. It is pure.
//
// No packet is lost, because the elements of a set that is kept change together with
// the rules. For a table that replaces another one this is not so: for a few
// microseconds its rules are in use and lookups in its sets of intervals find nothing
// (measured with Linux 6.18).
func RenderUpdate(tx *knftables.Transaction, fw routes.Firewall, found, wanted Contents) {
	for _, name := range found.Chains { // first, because rules refer to all other objects
		tx.Flush(&knftables.Chain{Name: name})
	}
	for _, name := range without(found.Chains, wanted.Chains) {
		tx.Delete(&knftables.Chain{Name: name})
	}
	for _, name := range found.Sets {
		tx.Flush(&knftables.Set{Name: name})
	}
	for _, name := range without(found.Sets, wanted.Sets) {
		tx.Delete(&knftables.Set{Name: name})
	}
	for _, name := range without(found.Counters, wanted.Counters) {
		tx.Delete(&knftables.Counter{Name: name})
	}
	missing := slices.DeleteFunc(countersFrom(nil), func(c *knftables.Counter) bool { return slices.Contains(found.Counters, c.Name) })
	render(tx, fw, missing)
}

// without returns the names that are not among others.
func without(names, others []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(others, name) })
}

// contentsOf returns what a table contains according to nft's listing of it, in which
// the objects of a table are indented once:
//
//	table inet meshway {
//		comment "managed by Meshway"
//		set lanes {
//			type ifname
func contentsOf(listing string) Contents {
	var c Contents
	for line := range strings.Lines(listing) {
		indented, isObject := strings.CutSuffix(strings.TrimRight(line, "\n"), " {")
		object, once := strings.CutPrefix(indented, "\t")
		if !isObject || !once || strings.HasPrefix(object, "\t") {
			continue
		}
		switch kind, name, _ := strings.Cut(object, " "); kind {
		case "chain":
			c.Chains = append(c.Chains, name)
		case "set":
			c.Sets = append(c.Sets, name)
		case "counter":
			c.Counters = append(c.Counters, name)
		default:
			c.Others = append(c.Others, object)
		}
	}
	return c
}

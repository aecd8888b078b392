package routes

import (
	"fmt"
	"strings"
)

// Delta is the difference of one kind of entry.
type Delta[T any] struct {
	Add     []T // does not exist; creating it must fail if it exists meanwhile
	Replace []T // exists and is Meshway's, but differs
	Delete  []T // exists and is Meshway's, but is not desired
}

// Len returns the number of entries that change.
func (d Delta[T]) Len() int { return len(d.Add) + len(d.Replace) + len(d.Delete) }

// Change is the difference between a Config and the kernel. An adapter applies
// it in the following order, so that every packet finds a complete path:
// sysctls; nexthops, groups, routes and rules added and replaced; rules and
// routes deleted; groups refreshed; groups and nexthops deleted.
type Change struct {
	Table    int
	Sysctls  []Sysctl // to set; the adapter records the former values
	Restore  bool     // restore every recorded sysctl that still has Meshway's value
	Nexthops Delta[Nexthop]
	Groups   Delta[Group]
	Routes   Delta[Route]
	Rules    Delta[Rule]
	// Refresh are IPv6 groups to be written again unchanged. When a route is
	// deleted, Linux (6.18) keeps it in the caches of its nexthops, without its
	// preferred source, and uses it for all other routes through them.
	Refresh []Group

	// Conflicts are desired entries that cannot be created because of a foreign
	// entry. They need no write.
	Conflicts []Conflict
}

// Conflict is the error for a desired entry that a foreign entry prevents.
type Conflict struct {
	Entry  string // the missing entry, as ip prints it
	Reason string // the foreign entry and the remedy
}

// Error returns the missing entry and the reason.
func (c Conflict) Error() string { return fmt.Sprintf("add %s: %s", c.Entry, c.Reason) }

// Len returns the number of writes that the change needs.
func (c Change) Len() int {
	return len(c.Sysctls) + c.Nexthops.Len() + c.Groups.Len() + c.Routes.Len() + c.Rules.Len() + len(c.Refresh)
}

// Empty reports whether there is nothing to write. Conflicts do not count.
func (c Change) Empty() bool { return c.Len() == 0 && !c.Restore }

// String returns the equivalent iproute2 commands, one per line, in the order
// in which an adapter applies the change.
func (c Change) String() string {
	var b strings.Builder
	for _, s := range c.Sysctls {
		fmt.Fprintf(&b, "sysctl -w %s\n", s)
	}
	if c.Restore {
		b.WriteString("# restore sysctls\n")
	}
	writeLines(&b, "nexthop", "add", c.Nexthops.Add, Nexthop.String)
	writeLines(&b, "nexthop", "replace", c.Nexthops.Replace, Nexthop.String)
	writeLines(&b, "nexthop", "add", c.Groups.Add, Group.String)
	writeLines(&b, "nexthop", "replace", c.Groups.Replace, Group.String)
	writeLines(&b, "route", "add", c.Routes.Add, c.route)
	writeLines(&b, "route", "replace", c.Routes.Replace, c.route)
	writeLines(&b, "rule", "add", c.Rules.Add, c.rule)
	writeLines(&b, "rule", "del", c.Rules.Delete, c.rule)
	writeLines(&b, "route", "del", c.Routes.Delete, c.route)
	writeLines(&b, "nexthop", "replace", c.Refresh, Group.String)
	writeLines(&b, "nexthop", "del", c.Groups.Delete, func(g Group) string { return idText(g.ID) })
	writeLines(&b, "nexthop", "del", c.Nexthops.Delete, func(n Nexthop) string { return idText(n.ID) })
	for _, conflict := range c.Conflicts {
		fmt.Fprintf(&b, "# cannot %s\n", conflict.Error())
	}
	return b.String()
}

func (c Change) route(r Route) string { return r.Text(c.Table) }
func (c Change) rule(r Rule) string   { return r.Text(c.Table) }

// familyEntry is an entry that is printed as "ip -6" if its family is IPv6.
type familyEntry interface{ family() Family }

func writeLines[T familyEntry](b *strings.Builder, object, verb string, entries []T, text func(T) string) {
	for _, e := range entries {
		ip := "ip"
		if e.family() == IPv6 {
			ip = "ip -6"
		}
		fmt.Fprintf(b, "%s %s %s %s\n", ip, object, verb, text(e))
	}
}

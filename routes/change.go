package routes

import (
	"fmt"
	"strings"
)

// Delta is what has to happen to one kind of entry.
type Delta[T any] struct {
	Add     []T // does not exist: creating it must fail if it does by now
	Replace []T // exists as ours, but is different
	Delete  []T // exists as ours, and is not wanted
}

// Len is the number of entries that change.
func (d Delta[T]) Len() int { return len(d.Add) + len(d.Replace) + len(d.Delete) }

// Change is the difference between a Config and the kernel. An adapter carries
// it out in this order, so that no packet meets a hole: sysctls; nexthops,
// groups, routes and rules added and replaced; rules and routes deleted; groups
// refreshed; groups and nexthops deleted.
type Change struct {
	Table    int
	Sysctls  []Sysctl // to set; the adapter records what was there
	Restore  bool     // put back every recorded sysctl that still has our value
	Nexthops Delta[Nexthop]
	Groups   Delta[Group]
	Routes   Delta[Route]
	Rules    Delta[Rule]
	// Refresh are IPv6 groups to be written once more, as they are: when a
	// route goes Linux (6.18) leaves it in the legs' caches, without its
	// preferred source, for all other routes that lead through them.
	Refresh []Group

	// Conflicts are wanted entries that cannot be made because of an entry
	// that is not ours. They need no write.
	Conflicts []Conflict
}

// Conflict is a wanted entry that something foreign stands in the way of. It is an error.
type Conflict struct {
	Entry  string // the entry that is missing, as ip would print it
	Reason string // who is in the way, and the remedy
}

// Error says what is missing and why.
func (c Conflict) Error() string { return fmt.Sprintf("add %s: %s", c.Entry, c.Reason) }

// Len is the number of writes that the change needs.
func (c Change) Len() int {
	return len(c.Sysctls) + c.Nexthops.Len() + c.Groups.Len() + c.Routes.Len() + c.Rules.Len() + len(c.Refresh)
}

// Empty tells whether there is nothing to write.
func (c Change) Empty() bool { return c.Len() == 0 && !c.Restore }

// String is the change as the commands of iproute2 that would do the same, one
// per line, in the order in which they are carried out.
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

// familyEntry is an entry for which ip needs to be told the family.
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

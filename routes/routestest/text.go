package routestest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meshway/meshway/routes"
)

// String returns the whole state in the syntax of iproute2.
func (k *Kernel) String() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var b strings.Builder
	for _, key := range sorted(keys(k.saved)) {
		fmt.Fprintf(&b, "sysctl %s=%s (was %s)\n", key, k.sysctls[key], k.saved[key].before)
	}
	for _, id := range sorted(keys(k.nexthops)) {
		fmt.Fprintf(&b, "nexthop %s\n", k.nexthops[id])
	}
	for _, r := range k.sortedRules() {
		fmt.Fprintf(&b, "rule inet%d %s\n", r.Family, r.Text(r.table))
	}
	for _, key := range k.routeKeys() {
		fmt.Fprintf(&b, "route %s\n", k.routes[key].text(key.table))
	}
	return b.String()
}

func (n nexthop) String() string {
	text := n.Nexthop.String()
	if len(n.members) > 0 {
		text = routes.Group{ID: n.ID, Members: n.members}.String()
	}
	return owned(text, "protocol", n.protocol)
}

func (r route) text(table int) string {
	if r.Nexthop == 0 && r.Kind != routes.Guard {
		return fmt.Sprintf("%s dev %s table %d proto %d", r.Prefix, r.device, table, r.protocol)
	}
	return owned(r.Text(table), "proto", r.protocol)
}

// owned replaces the default protocol in a text.
func owned(text, word string, protocol int) string {
	return strings.Replace(text, fmt.Sprintf("%s %d", word, routes.DefaultProtocol),
		fmt.Sprintf("%s %d", word, protocol), 1)
}

// observed returns the state as Observe does.
func (k *Kernel) observed(table int) routes.Observed {
	o := routes.Observed{Config: routes.Config{Table: table}}
	for _, id := range sorted(keys(k.nexthops)) {
		n := k.nexthops[id]
		switch {
		case !routes.OwnNexthop(id):
		case n.protocol != routes.DefaultProtocol:
			o.ForeignNexthops = append(o.ForeignNexthops, routes.ForeignNexthop{ID: id, Protocol: n.protocol})
		case len(n.members) > 0:
			o.Groups = append(o.Groups, routes.Group{ID: id, Family: n.Family, Members: slices.Clone(n.members)})
		default:
			o.Nexthops = append(o.Nexthops, n.Nexthop)
		}
	}
	for _, r := range k.sortedRules() {
		if r.table == r.Table(table) {
			o.Rules = append(o.Rules, r.Rule)
		}
	}
	for _, key := range k.routeKeys() {
		r := k.routes[key]
		switch {
		case key.table == routes.NodesTable(table) && r.protocol == routes.DefaultProtocol:
			o.Routes = append(o.Routes, r.Route)
		case key.table != table:
		case r.protocol == routes.DefaultProtocol:
			o.Routes = append(o.Routes, r.Route)
		default:
			o.Foreign = append(o.Foreign, routes.ForeignRoute{Prefix: r.Prefix, Protocol: r.protocol, Device: r.device, Blocks: true})
		}
	}
	return o
}

func (k *Kernel) sortedRules() []ruleKey {
	return slices.SortedFunc(maps.Keys(k.rules), func(a, b ruleKey) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Priority, b.Priority),
			cmp.Compare(a.Mark, b.Mark), cmp.Compare(a.In, b.In), cmp.Compare(a.table, b.table))
	})
}

func (k *Kernel) routeKeys() []routeKey {
	return slices.SortedFunc(maps.Keys(k.routes), func(a, b routeKey) int {
		return cmp.Or(cmp.Compare(a.table, b.table), a.prefix.Compare(b.prefix), cmp.Compare(a.metric, b.metric))
	})
}

func keys[K comparable, V any](m map[K]V) []K { return slices.Collect(maps.Keys(m)) }

func sorted[T cmp.Ordered](list []T) []T { return slices.Sorted(slices.Values(list)) }

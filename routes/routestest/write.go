package routestest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/meshway/meshway/routes"
)

// Apply implements routes.Kernel, entry by entry.
func (k *Kernel) Apply(_ context.Context, change routes.Change) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls.Apply++
	k.calls.Messages += change.Len()
	w := transaction{Kernel: k, table: change.Table}
	each(&w, "set sysctl", change.Sysctls, routes.Sysctl.String, w.setSysctl)
	each(&w, "add nexthop", change.Nexthops.Add, routes.Nexthop.String, w.addNexthop)
	each(&w, "replace nexthop", change.Nexthops.Replace, routes.Nexthop.String, w.replaceNexthop)
	each(&w, "add nexthop", change.Groups.Add, routes.Group.String, w.addGroup)
	each(&w, "replace nexthop", change.Groups.Replace, routes.Group.String, w.replaceGroup)
	each(&w, "add route", change.Routes.Add, w.routeText, w.addRoute)
	each(&w, "replace route", change.Routes.Replace, w.routeText, w.replaceRoute)
	each(&w, "add rule", change.Rules.Add, w.ruleText, w.addRule)
	each(&w, "delete rule", change.Rules.Delete, w.ruleText, w.deleteRule)
	each(&w, "delete route", change.Routes.Delete, w.routeText, w.deleteRoute)
	each(&w, "refresh nexthop", change.Refresh, routes.Group.String, w.replaceGroup)
	each(&w, "delete nexthop", change.Groups.Delete, routes.Group.String,
		func(g routes.Group) error { return w.deleteNexthop(g.ID) })
	each(&w, "delete nexthop", change.Nexthops.Delete, routes.Nexthop.String,
		func(n routes.Nexthop) error { return w.deleteNexthop(n.ID) })
	if change.Restore {
		w.restore()
	}
	return errors.Join(w.errs...)
}

// transaction is the state of one call of Apply.
type transaction struct {
	*Kernel
	table int
	errs  []error
}

func (w *transaction) routeText(r routes.Route) string { return r.Text(w.table) }
func (w *transaction) ruleText(r routes.Rule) string   { return r.Text(w.table) }

func each[T any](w *transaction, verb string, entries []T, text func(T) string, write func(T) error) {
	for _, e := range entries {
		operation := verb + " " + text(e)
		if err := w.fault(operation); err != nil {
			w.errs = append(w.errs, err)
			continue
		}
		if err := write(e); err != nil {
			w.errs = append(w.errs, fmt.Errorf("%s: %w", operation, err))
		}
	}
}

func (w *transaction) setSysctl(s routes.Sysctl) error {
	before, ok := w.sysctls[s.Key]
	if !ok {
		return ErrMissing
	}
	if f, ok := w.saved[s.Key]; ok {
		before = f.before
	}
	w.saved[s.Key] = savedSysctl{before: before, ours: s.Value}
	w.sysctls[s.Key] = s.Value
	return nil
}

func (w *transaction) restore() {
	for key, f := range w.saved {
		if w.sysctls[key] == f.ours {
			w.sysctls[key] = f.before
		}
	}
	clear(w.saved)
}

func (w *transaction) addNexthop(n routes.Nexthop) error {
	if _, ok := w.nexthops[n.ID]; ok {
		return ErrExists
	}
	return w.putNexthop(n)
}

func (w *transaction) replaceNexthop(n routes.Nexthop) error {
	if have, ok := w.nexthops[n.ID]; !ok || len(have.members) > 0 {
		return ErrInvalid
	}
	return w.putNexthop(n)
}

func (w *transaction) putNexthop(n routes.Nexthop) error {
	up, exists := w.devices[n.Device]
	switch {
	case n.ID == 0:
		return ErrInvalid
	case n.Device != "" && !exists:
		return fmt.Errorf("device %s does not exist", n.Device)
	case n.Device != "" && !up:
		return ErrDown
	case n.Via.IsValid() && !w.onLink(n.Device, n.Via):
		return ErrUnreachable
	}
	w.nexthops[n.ID] = nexthop{Nexthop: n, protocol: routes.DefaultProtocol}
	return nil
}

func (w *transaction) addGroup(g routes.Group) error {
	if _, ok := w.nexthops[g.ID]; ok {
		return ErrExists
	}
	return w.putGroup(g)
}

func (w *transaction) replaceGroup(g routes.Group) error {
	if have, ok := w.nexthops[g.ID]; !ok || len(have.members) == 0 {
		return ErrInvalid
	}
	return w.putGroup(g)
}

func (w *transaction) putGroup(g routes.Group) error {
	if g.ID == 0 || len(g.Members) == 0 {
		return ErrInvalid
	}
	for _, id := range g.Members {
		hop, ok := w.nexthops[id]
		if !ok || len(hop.members) > 0 {
			return fmt.Errorf("%w: member %#x is no nexthop", ErrInvalid, id)
		}
		if hop.Device == "" && len(g.Members) > 1 {
			return fmt.Errorf("%w: a blackhole must be the only member", ErrInvalid)
		}
	}
	w.nexthops[g.ID] = nexthop{
		Nexthop:  routes.Nexthop{ID: g.ID, Family: w.nexthops[g.Members[0]].Family},
		members:  slices.Clone(g.Members),
		protocol: routes.DefaultProtocol,
	}
	return nil
}

// key identifies a route by its table, prefix and metric.
func (w *transaction) key(r routes.Route) routeKey {
	return routeKey{r.Table(w.table), r.Prefix, r.Kind.Metric()}
}

func (w *transaction) addRoute(r routes.Route) error {
	if _, ok := w.routes[w.key(r)]; ok {
		return ErrExists
	}
	return w.putRoute(r)
}

func (w *transaction) replaceRoute(r routes.Route) error {
	if _, ok := w.routes[w.key(r)]; !ok {
		return ErrMissing
	}
	return w.putRoute(r)
}

func (w *transaction) putRoute(r routes.Route) error {
	hop, ok := w.nexthops[r.Nexthop]
	switch {
	case r.Prefix != r.Prefix.Masked():
		return fmt.Errorf("%w: prefix has host bits", ErrInvalid)
	case (r.Kind == routes.Throw || r.Kind == routes.Guard) && r.Nexthop != 0:
		return fmt.Errorf("%w: a route of this kind has no nexthop", ErrInvalid)
	case r.Kind == routes.Throw || r.Kind == routes.Guard:
	case !ok:
		return fmt.Errorf("%w: nexthop %#x does not exist", ErrInvalid, r.Nexthop)
	case hop.Family == routes.IPv4 && !r.Prefix.Addr().Is4():
		return fmt.Errorf("%w: an IPv6 route needs an IPv6 nexthop", ErrInvalid)
	case r.Source.IsValid() && len(w.addresses) > 0 && !w.addresses[r.Source]:
		return fmt.Errorf("%w: source %s is no address of this host", ErrInvalid, r.Source)
	}
	w.routes[w.key(r)] = route{Route: r, protocol: routes.DefaultProtocol}
	return nil
}

// deleteRoute does not delete a route that is foreign meanwhile.
func (w *transaction) deleteRoute(r routes.Route) error {
	key := w.key(r)
	if w.routes[key].protocol == routes.DefaultProtocol {
		delete(w.routes, key)
	}
	return nil
}

func (w *transaction) addRule(r routes.Rule) error {
	key := ruleKey{r, r.Table(w.table)}
	if w.rules[key] {
		return ErrExists
	}
	w.rules[key] = true
	return nil
}

func (w *transaction) deleteRule(r routes.Rule) error {
	delete(w.rules, ruleKey{r, r.Table(w.table)})
	return nil
}

func (w *transaction) deleteNexthop(id uint32) error {
	w.dropNexthop(id)
	return nil
}

// dropNexthop deletes a nexthop, removes it from its groups and deletes its routes.
func (k *Kernel) dropNexthop(id uint32) {
	delete(k.nexthops, id)
	for group, n := range k.nexthops {
		if !slices.Contains(n.members, id) {
			continue
		}
		n.members = slices.DeleteFunc(slices.Clone(n.members), func(m uint32) bool { return m == id })
		k.nexthops[group] = n
		if len(n.members) == 0 {
			k.dropNexthop(group)
		}
	}
	for key, r := range k.routes {
		if r.Nexthop == id && id != 0 {
			delete(k.routes, key)
		}
	}
}

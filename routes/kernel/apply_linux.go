package kernel

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/routes"
)

// The flags of messages that create an entry exclusively, so that no foreign entry
// is overwritten, or replace an entry that was observed to be Meshway's.
const (
	create  = unix.NLM_F_CREATE | unix.NLM_F_EXCL
	replace = unix.NLM_F_REPLACE
)

// Apply implements routes.Kernel. The messages of two calls at a time take turns.
func (k *Kernel) Apply(ctx context.Context, change routes.Change) error {
	k.applying.RLock()
	defer k.applying.RUnlock()
	sysctls := k.setSysctls(change.Sysctls)
	c, err := k.writing()
	if err != nil {
		return errors.Join(sysctls, err)
	}
	w := writer{conn: c, table: change.Table}
	err = errors.Join(
		sysctls,
		w.nexthops(ctx, "add", create, change.Nexthops.Add),
		w.nexthops(ctx, "replace", replace, change.Nexthops.Replace),
		w.groups(ctx, "add", create, change.Groups.Add),
		w.groups(ctx, "replace", replace, change.Groups.Replace),
		w.routes(ctx, "add", create, change.Routes.Add),
		w.routes(ctx, "replace", replace, change.Routes.Replace),
		w.rules(ctx, change.Rules.Add),
		w.deleteRules(ctx, change.Rules.Delete),
		w.deleteRoutes(ctx, change.Routes.Delete),
		w.groups(ctx, "refresh", replace, change.Refresh),
		w.deleteGroups(ctx, change.Groups.Delete),
		w.deleteNexthops(ctx, change.Nexthops.Delete),
	)
	if !change.Restore {
		return err
	}
	return errors.Join(err, k.restoreSysctls())
}

// writer writes to Meshway's tables.
type writer struct {
	conn  *conn
	table int
}

func (w writer) nexthops(ctx context.Context, verb string, flags uint16, nexthops []routes.Nexthop) error {
	if len(nexthops) == 0 {
		return nil
	}
	devices, err := deviceIndexes()
	if err != nil {
		return err
	}
	var missing []error
	exist := make([]routes.Nexthop, 0, len(nexthops))
	for _, n := range nexthops {
		if _, ok := devices[n.Device]; !ok && n.Device != "" {
			missing = append(missing, fmt.Errorf("%s nexthop %s: device %s does not exist", verb, n, n.Device))
			continue
		}
		exist = append(exist, n)
	}
	err = w.conn.run(ctx, batch{
		typ: unix.RTM_NEWNEXTHOP, flags: flags, n: len(exist),
		body: func(b []byte, i int) []byte { return appendNexthop(b, exist[i], devices[exist[i].Device]) },
		name: func(i int) string { return verb + " nexthop " + exist[i].String() },
	})
	return errors.Join(errors.Join(missing...), err)
}

func (w writer) groups(ctx context.Context, verb string, flags uint16, groups []routes.Group) error {
	return w.conn.run(ctx, batch{
		typ: unix.RTM_NEWNEXTHOP, flags: flags, n: len(groups),
		body: func(b []byte, i int) []byte { return appendGroup(b, groups[i]) },
		name: func(i int) string { return verb + " nexthop " + groups[i].String() },
	})
}

func (w writer) routes(ctx context.Context, verb string, flags uint16, list []routes.Route) error {
	return w.conn.run(ctx, batch{
		typ: unix.RTM_NEWROUTE, flags: flags, n: len(list),
		body: func(b []byte, i int) []byte { return appendRoute(b, list[i], list[i].Table(w.table)) },
		name: func(i int) string { return verb + " route " + list[i].Text(w.table) },
	})
}

func (w writer) rules(ctx context.Context, rules []routes.Rule) error {
	return w.conn.run(ctx, batch{
		typ: unix.RTM_NEWRULE, flags: create, n: len(rules),
		body: func(b []byte, i int) []byte { return appendRule(b, rules[i], rules[i].Table(w.table)) },
		name: func(i int) string { return "add rule " + rules[i].Text(w.table) },
	})
}

func (w writer) deleteRules(ctx context.Context, rules []routes.Rule) error {
	return w.conn.run(ctx, batch{
		typ: unix.RTM_DELRULE, n: len(rules), missing: true,
		body: func(b []byte, i int) []byte { return appendRule(b, rules[i], rules[i].Table(w.table)) },
		name: func(i int) string { return "delete rule " + rules[i].Text(w.table) },
	})
}

func (w writer) deleteRoutes(ctx context.Context, list []routes.Route) error {
	return w.conn.run(ctx, batch{
		typ: unix.RTM_DELROUTE, n: len(list), missing: true,
		body: func(b []byte, i int) []byte { return appendRouteDeletion(b, list[i], list[i].Table(w.table)) },
		name: func(i int) string { return "delete route " + list[i].Text(w.table) },
	})
}

func (w writer) deleteGroups(ctx context.Context, groups []routes.Group) error {
	return w.conn.run(ctx, batch{
		typ: unix.RTM_DELNEXTHOP, n: len(groups), missing: true,
		body: func(b []byte, i int) []byte { return appendNexthopID(b, groups[i].ID) },
		name: func(i int) string { return "delete nexthop " + groups[i].String() },
	})
}

func (w writer) deleteNexthops(ctx context.Context, list []routes.Nexthop) error {
	return w.conn.run(ctx, batch{
		typ: unix.RTM_DELNEXTHOP, n: len(list), missing: true,
		body: func(b []byte, i int) []byte { return appendNexthopID(b, list[i].ID) },
		name: func(i int) string { return "delete nexthop " + list[i].String() },
	})
}

func deviceIndexes() (map[string]uint32, error) {
	names, err := deviceNames()
	if err != nil {
		return nil, err
	}
	indexes := make(map[string]uint32, len(names))
	for index, name := range names {
		indexes[name] = uint32(index) //nolint:gosec // positive
	}
	return indexes, nil
}

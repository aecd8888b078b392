package kernel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/routes"
)

// Observe implements routes.Kernel. It repeats a dump that was inconsistent
// because of a change, and returns nl.ErrDumpInterrupted if that happens too often.
func (k *Kernel) Observe(ctx context.Context, table int) (routes.Observed, error) {
	k.table.Store(int64(table))
	c, err := dial()
	if err != nil {
		return routes.Observed{}, err
	}
	defer c.close()
	o := observer{conn: c, table: table}
	if o.devices, err = deviceNames(); err != nil {
		return routes.Observed{}, err
	}
	observed := routes.Observed{Config: routes.Config{Table: table, Routes: k.room()}}
	for _, part := range []func(context.Context, *routes.Observed) error{o.nexthops, o.routes, o.rules, o.tables, o.policies} {
		if err := part(ctx, &observed); err != nil {
			return routes.Observed{}, err
		}
	}
	sortObserved(&observed)
	k.remember(observed)
	return observed, nil
}

// observer reads Meshway's tables through one socket.
type observer struct {
	conn    *conn
	table   int
	devices map[int]string
}

func (o observer) nexthops(ctx context.Context, to *routes.Observed) error {
	var found []nexthop
	err := o.conn.dump(ctx, unix.RTM_GETNEXTHOP, appendNexthopHeader(nil, unix.AF_UNSPEC, 0),
		func() { found = nil }, collect(parseNexthop, &found))
	if err != nil {
		return fmt.Errorf("dump nexthops: %w", err)
	}
	families := map[uint32]routes.Family{}
	for _, n := range found {
		if n.members == nil {
			families[n.id] = n.family
		}
	}
	for _, n := range found {
		switch {
		case !routes.OwnNexthop(n.id):
		case n.protocol != routes.DefaultProtocol:
			to.ForeignNexthops = append(to.ForeignNexthops, routes.ForeignNexthop{ID: n.id, Protocol: n.protocol})
		case n.members != nil:
			// The kernel keeps no family for a group, but its nexthops have one.
			to.Groups = append(to.Groups, routes.Group{ID: n.id, Family: families[n.members[0]], Members: n.members})
		default:
			to.Nexthops = append(to.Nexthops, routes.Nexthop{ID: n.id, Family: n.family, Device: o.devices[n.ifindex], Via: n.via})
		}
	}
	return nil
}

func (o observer) routes(ctx context.Context, to *routes.Observed) error {
	for _, f := range []routes.Family{routes.IPv4, routes.IPv6} {
		for _, table := range []int{o.table, routes.NodesTable(o.table)} {
			own, foreign := len(to.Routes), len(to.Foreign)
			reset := func() { to.Routes, to.Foreign = to.Routes[:own], to.Foreign[:foreign] }
			if err := o.dumpTable(ctx, table, f, reset, func(r route) { o.addRoute(to, r) }); err != nil {
				return err
			}
		}
	}
	if len(to.Routes) == 0 {
		to.Routes = nil // as in a configuration without routes
	}
	return nil
}

// addRoute adds a route of one of the tables. Foreign ones of NodesTable do not count.
func (o observer) addRoute(to *routes.Observed, r route) {
	switch {
	case r.ours(r.table):
		r.ToNode = r.table != o.table
		to.Routes = append(to.Routes, r.Route)
	case r.table == o.table:
		to.Foreign = append(to.Foreign, routes.ForeignRoute{
			Prefix: r.Prefix, Protocol: r.protocol, Device: o.devices[r.ifindex], Blocks: r.plain,
			Precedes: r.precedes, Via: r.via, Drop: r.drop(), Throw: r.kind == unix.RTN_THROW,
		})
	}
}

// dumpTable calls use with each route of one table and family, and reset before it begins,
// and when it begins again.
func (o observer) dumpTable(ctx context.Context, table int, f routes.Family, reset func(), use func(route)) error {
	body := []byte{familyByte(f), 0, 0, 0, unix.RT_TABLE_UNSPEC, 0, 0, unix.RTN_UNSPEC, 0, 0, 0, 0}
	body = appendAttr32(body, unix.RTA_TABLE, uint32(table)) //nolint:gosec // validated by the planner
	err := o.conn.dump(ctx, unix.RTM_GETROUTE, body, reset, func(b []byte) error {
		r, err := parseRoute(b)
		if err == nil && r.table == table && !r.cloned {
			use(r)
		}
		return err
	})
	if err != nil && !errors.Is(err, unix.ENOENT) { // ENOENT: the table does not exist
		return fmt.Errorf("dump routes of table %d: %w", table, err)
	}
	return nil
}

func (o observer) rules(ctx context.Context, to *routes.Observed) error {
	for _, f := range []routes.Family{routes.IPv4, routes.IPv6} {
		var found []rule
		body := make([]byte, 12) // struct fib_rule_hdr
		body[0] = familyByte(f)
		err := o.conn.dump(ctx, unix.RTM_GETRULE, body, func() { found = nil }, collect(parseRule, &found))
		if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) { // this kernel has no IPv6
			return fmt.Errorf("dump rules: %w", err)
		}
		for _, r := range found {
			if r.ours(o.table) {
				to.Rules = append(to.Rules, r.Rule)
			} else if r.decides && (r.protocol != unix.RTPROT_KERNEL || r.foreign.L3Master) {
				to.ForeignRules = append(to.ForeignRules, r.foreign) // the kernel lists rules by priority
			}
		}
	}
	return nil
}

// collect returns a function that parses a message of a dump and appends it to list.
func collect[T any](parse func([]byte) (T, error), list *[]T) func([]byte) error {
	return func(b []byte) error {
		v, err := parse(b)
		if err != nil {
			return err
		}
		*list = append(*list, v)
		return nil
	}
}

// sortObserved sorts as routes.Config documents.
func sortObserved(o *routes.Observed) {
	slices.SortFunc(o.Nexthops, func(a, b routes.Nexthop) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(o.Groups, func(a, b routes.Group) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(o.Routes, func(a, b routes.Route) int {
		if c := routes.CompareRoutes(a, b); c != 0 {
			return c
		}
		return cmp.Compare(a.Nexthop, b.Nexthop)
	})
	slices.SortFunc(o.Foreign, func(a, b routes.ForeignRoute) int {
		return cmp.Or(a.Prefix.Compare(b.Prefix), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Device, b.Device))
	})
	slices.SortFunc(o.ForeignNexthops, func(a, b routes.ForeignNexthop) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(o.Rules, func(a, b routes.Rule) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Mark, b.Mark), cmp.Compare(a.In, b.In))
	})
}

// deviceNames returns the names of all links of this namespace by index.
func deviceNames() (map[int]string, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	names := make(map[int]string, len(links))
	for _, l := range links {
		names[l.Index] = l.Name
	}
	return names, nil
}

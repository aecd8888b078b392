package kernel

import (
	"context"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/routes"
)

// HostRoutes returns the routes of the main table. After the first call, Watch
// also reports changes of those that may be to pods of this host
// (routes.HostRoute.MayBeLocal), or overlap a route of Meshway's table as it was
// last observed.
func (k *Kernel) HostRoutes(ctx context.Context) ([]routes.HostRoute, error) {
	k.watchHost.Store(true)
	c, err := dial()
	if err != nil {
		return nil, err
	}
	defer c.close()
	o := observer{conn: c}
	if o.devices, err = deviceNames(); err != nil {
		return nil, err
	}
	return o.hostRoutes(ctx, unix.RT_TABLE_MAIN)
}

// hostRoutes returns the routes of a table, of both families.
func (o observer) hostRoutes(ctx context.Context, table int) ([]routes.HostRoute, error) {
	var list []routes.HostRoute
	for _, f := range []routes.Family{routes.IPv4, routes.IPv6} {
		before := len(list)
		err := o.dumpTable(ctx, table, f, func() { list = list[:before] }, func(r route) {
			list = append(list, r.hostRoute(o.devices[r.ifindex]))
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// The bounds of the tables of other programs that are read, and of the routes in one. Those
// of further ones are not known.
const (
	maxTables      = 64
	maxTableRoutes = 16384
)

// tables reads the tables of the rules of other programs: the routes that overlap those of
// Meshway, and those that drop packets or end the lookup.
func (o observer) tables(ctx context.Context, to *routes.Observed) error {
	read := map[int][]routes.HostRoute{}
	var own *prefixIndex // sorting it takes time, which hosts without such rules save
	for _, r := range to.ForeignRules {
		ours := r.Table == 0 || r.Table == o.table || r.Table == routes.NodesTable(o.table)
		if _, known := read[r.Table]; ours || known || len(read) >= maxTables {
			continue
		}
		if own == nil {
			own = newPrefixIndex(to.Routes)
		}
		var list []routes.HostRoute
		for _, f := range []routes.Family{routes.IPv4, routes.IPv6} {
			before := len(list)
			err := o.dumpTable(ctx, r.Table, f, func() { list = list[:before] }, func(r route) {
				found := r.hostRoute(o.devices[r.ifindex])
				if len(list) < maxTableRoutes && (found.Drop != "" || found.Throw || own.overlaps(r.Prefix)) {
					list = append(list, found)
				}
			})
			if err != nil {
				return err
			}
		}
		read[r.Table] = list
	}
	if len(read) > 0 {
		to.Tables = read
	}
	return nil
}

// prefixIndex finds whether a prefix overlaps one of many.
type prefixIndex struct {
	sorted []netip.Prefix // without those that another one contains
}

func newPrefixIndex(list []routes.Route) *prefixIndex {
	all := make([]netip.Prefix, 0, len(list))
	for _, r := range list {
		all = append(all, r.Prefix)
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	out := all[:0]
	for _, p := range all {
		if len(out) == 0 || !out[len(out)-1].Overlaps(p) {
			out = append(out, p)
		}
	}
	return &prefixIndex{out}
}

// overlaps compares with the last one that begins before the prefix, and with the next.
func (x *prefixIndex) overlaps(p netip.Prefix) bool {
	i, _ := slices.BinarySearchFunc(x.sorted, p, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return i < len(x.sorted) && x.sorted[i].Overlaps(p) || i > 0 && x.sorted[i-1].Overlaps(p)
}

func (r route) hostRoute(device string) routes.HostRoute {
	return routes.HostRoute{Prefix: r.Prefix, Device: device, Via: r.via, Drop: r.drop(), Throw: r.kind == unix.RTN_THROW, Advertised: r.protocol == unix.RTPROT_RA}
}

// drop returns how the route drops packets; empty: it does not.
func (r route) drop() string {
	switch r.kind {
	case unix.RTN_BLACKHOLE:
		return "blackhole"
	case unix.RTN_UNREACHABLE:
		return "unreachable"
	case unix.RTN_PROHIBIT:
		return "prohibit"
	default:
		return ""
	}
}

// concernsHostRoutes reports whether HostRoutes is in use and the route is one
// that Watch reports for it.
func (k *Kernel) concernsHostRoutes(r route) bool {
	if !k.watchHost.Load() || r.table != unix.RT_TABLE_MAIN {
		return false
	}
	if r.hostRoute("").MayBeLocal() {
		return true
	}
	own := k.prefixes.Load()
	return own != nil && r.Prefix.Bits() > 0 && slices.ContainsFunc(*own, r.Prefix.Overlaps)
}

// concernsForeignTables reports whether a route is in a table of another program's rules and
// may be for packets to other datacenters, or drops packets.
func (k *Kernel) concernsForeignTables(r route) bool {
	tables, own := k.tables.Load(), k.prefixes.Load()
	if tables == nil || own == nil || !(*tables)[r.table] {
		return false
	}
	return r.drop() != "" || slices.ContainsFunc(*own, r.Prefix.Overlaps)
}

// remember keeps the prefixes of Meshway's routes, the devices of its nexthops and the
// tables of foreign rules for Watch.
func (k *Kernel) remember(o routes.Observed) {
	prefixes := make([]netip.Prefix, len(o.Routes))
	for i, r := range o.Routes {
		prefixes[i] = r.Prefix
	}
	k.prefixes.Store(&prefixes)
	devices := map[string]bool{}
	for _, n := range o.Nexthops {
		devices[n.Device] = true
	}
	k.devices.Store(&devices)
	tables := map[int]bool{}
	for table := range o.Tables {
		tables[table] = table != unix.RT_TABLE_MAIN // concernsHostRoutes has that one
	}
	k.tables.Store(&tables)
}

// uses reports whether a nexthop of Meshway, as last observed, is on a device.
func (k *Kernel) uses(device string) bool {
	devices := k.devices.Load()
	return devices != nil && (*devices)[device]
}

// room returns an empty list with the capacity of the previous list.
func (k *Kernel) room() []routes.Route {
	if own := k.prefixes.Load(); own != nil && len(*own) > 0 {
		return make([]routes.Route, 0, len(*own))
	}
	return nil
}

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
	return o.hostRoutes(ctx, unix.RT_TABLE_MAIN, unix.RTN_UNSPEC)
}

// hostRoutes returns the routes of a table that are of some kinds, of both families.
func (o observer) hostRoutes(ctx context.Context, table int, kinds ...byte) ([]routes.HostRoute, error) {
	var list []routes.HostRoute
	for _, f := range []routes.Family{routes.IPv4, routes.IPv6} {
		for _, kind := range kinds {
			before := len(list)
			err := o.dumpTable(ctx, table, f, kind, func() { list = list[:before] }, func(r route) {
				list = append(list, r.hostRoute(o.devices[r.ifindex]))
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// The bounds of the tables of other programs that are read: all routes, or those that drop
// packets or end the lookup.
const (
	maxTables     = 8
	maxDropTables = 64
)

// tables reads the tables of the rules of other programs: all routes for those rules for
// which the kernel does not look up packets.
func (o observer) tables(ctx context.Context, to *routes.Observed) error {
	read := map[int][]routes.HostRoute{}
	for _, all := range []bool{true, false} {
		bound := len(read) + maxDropTables
		if all {
			bound = maxTables
		}
		for _, r := range to.ForeignRules {
			own := r.Table == 0 || r.Table == o.table || r.Table == routes.NodesTable(o.table)
			if _, known := read[r.Table]; r.LookedUp() == all || own || known || len(read) >= bound {
				continue
			}
			kinds := droppingKinds()
			if all {
				kinds = []byte{unix.RTN_UNSPEC}
			}
			list, err := o.hostRoutes(ctx, r.Table, kinds...)
			if err != nil {
				return err
			}
			read[r.Table] = list
		}
	}
	if len(read) > 0 {
		to.Tables = read
	}
	return nil
}

// droppingKinds returns the kinds of routes that drop packets or end the lookup.
func droppingKinds() []byte {
	return []byte{unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT, unix.RTN_THROW}
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

// remember keeps the prefixes of Meshway's routes and the devices of its nexthops for
// Watch.
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
}

// uses reports whether a nexthop of Meshway, as last observed, is on a device.
func (k *Kernel) uses(device string) bool {
	devices := k.devices.Load()
	return devices != nil && (*devices)[device]
}

// room returns an empty list for as many routes as there were.
func (k *Kernel) room() []routes.Route {
	if own := k.prefixes.Load(); own != nil && len(*own) > 0 {
		return make([]routes.Route, 0, len(*own))
	}
	return nil
}

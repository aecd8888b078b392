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

// maxTables bounds the tables of other programs that are read.
const maxTables = 8

// tables reads the tables of those rules for which the kernel does not look up packets.
func (o observer) tables(ctx context.Context, to *routes.Observed) error {
	for _, r := range to.ForeignRules {
		if _, known := to.Tables[r.Table]; r.LookedUp() || r.Table == 0 || known || len(to.Tables) >= maxTables {
			continue
		}
		list, err := o.hostRoutes(ctx, r.Table)
		if err != nil {
			return err
		}
		if to.Tables == nil {
			to.Tables = map[int][]routes.HostRoute{}
		}
		to.Tables[r.Table] = list
	}
	return nil
}

func (r route) hostRoute(device string) routes.HostRoute {
	drop := r.kind == unix.RTN_BLACKHOLE || r.kind == unix.RTN_UNREACHABLE || r.kind == unix.RTN_PROHIBIT
	return routes.HostRoute{Prefix: r.Prefix, Device: device, Via: r.via, Drop: drop, Throw: r.kind == unix.RTN_THROW, Advertised: r.protocol == unix.RTPROT_RA}
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

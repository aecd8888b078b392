package kernel

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/routes"
)

// PolicyRoutes returns the routes by which the rules of other programs lead unmarked packets
// elsewhere, with their tables: those of all tables but main and local. Default routes are
// left out, and those that drop packets.
func (k *Kernel) PolicyRoutes(ctx context.Context) ([]routes.HostRoute, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	defer c.close()
	o := observer{conn: c, table: routes.DefaultTable}
	if table := k.table.Load(); table != 0 {
		o.table = int(table)
	}
	var observed routes.Observed
	if err := o.rules(ctx, &observed); err != nil {
		return nil, err
	}
	var out []routes.HostRoute
	read := map[int]bool{unix.RT_TABLE_MAIN: true, unix.RT_TABLE_LOCAL: true, o.table: true, routes.NodesTable(o.table): true, 0: true}
	for _, r := range observed.ForeignRules {
		if read[r.Table] || r.Mark&r.Mask != 0 && !r.Not || len(read) >= maxTables {
			continue
		}
		read[r.Table] = true
		if o.devices == nil {
			if o.devices, err = deviceNames(); err != nil {
				return nil, err
			}
		}
		list, err := o.hostRoutes(ctx, r.Table)
		if err != nil {
			return nil, err
		}
		for _, found := range list[:min(len(list), maxTableRoutes)] {
			if found.Table = r.Table; found.Drop == "" && !found.Throw && found.Prefix.Bits() > 0 && found.Prefix.Bits() >= r.Shortest {
				out = append(out, found)
			}
		}
	}
	return out, nil
}

package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// CleanUp removes everything that Meshway has put into the kernel, and
// nothing else. It needs no memory of it: what is ours carries our marks.
func CleanUp(ctx context.Context, d Dataplane, table int) error {
	// The routes go first: while a tunnel is gone and its routes are not,
	// packets would be dropped that could go elsewhere.
	_, routed := routes.Remove(ctx, d.Routes, table)
	tunnels := removeTunnels(ctx, d.Tunnels)
	firewall := d.Firewall.Remove(ctx)
	if err := errors.Join(routed, tunnels, firewall); err != nil {
		return fmt.Errorf("remove what meshway made: %w", err)
	}
	return nil
}

func removeTunnels(ctx context.Context, device tunnel.Device) error {
	tunnels, err := device.List(ctx)
	for _, t := range tunnels {
		err = errors.Join(err, device.Remove(ctx, t.Name))
	}
	return err
}

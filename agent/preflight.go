package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/meshway/meshway/tunnel"
)

// preflight proves that this host can carry tunnels before anything is
// promised to others: it makes the first interface, binds its port, and
// removes it again. An interface that is there already is left alone.
func (a *Agent) preflight(ctx context.Context) error {
	device, cfg := a.deps.Dataplane.Tunnels, a.deps.Config.WireGuard
	have, err := device.List(ctx)
	if err != nil {
		return fmt.Errorf("look at the tunnels: %w", err)
	}
	if _, err := a.deps.Dataplane.Firewall.State(ctx); err != nil {
		return fmt.Errorf("look at the firewall: %w", err)
	}
	if len(have) > 0 {
		return nil
	}
	_, err = tunnel.Apply(ctx, device, a.deps.Key, []tunnel.Config{{
		Name: cfg.Interface + "0", ListenPort: cfg.Port, Mark: a.deps.Config.Routing.Mark,
	}}, false)
	if err := errors.Join(err, removeTunnels(ctx, device)); err != nil {
		return fmt.Errorf("this host cannot carry tunnels: %w", err)
	}
	return nil
}

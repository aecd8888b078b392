package dataplane

import (
	"context"
	"errors"
	"fmt"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/requirement"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/routes"
	"github.com/meshway/meshway/tunnel"
)

// CleanUp removes everything that Meshway has put into the kernel, and nothing
// else. It needs no record of it: all of it carries the marks of Meshway.
func CleanUp(ctx context.Context, k Kernel, table int) error {
	// Routes are removed first: a route whose tunnel is gone drops packets that
	// could take another route.
	_, routesErr := routes.Remove(ctx, k.Routes, table)
	tunnelsErr := removeTunnels(ctx, k.Tunnels)
	firewallErr := k.removeGuard(ctx)
	if err := errors.Join(routesErr, tunnelsErr, firewallErr); err != nil {
		return fmt.Errorf("clean up the data plane: %w", err)
	}
	return nil
}

// Leave removes what belongs to a federation, except the firewall, which then drops what
// is sent to the prefixes of left, until CleanUp. It returns what it removed, for the
// operator. An interrupted one is repeated: the firewall of the member stays until
// Departed replaces it.
func Leave(ctx context.Context, k Kernel, table int, left plan.Left) (removed string, err error) {
	if k.Left == nil || len(left.Prefixes) == 0 {
		return "tunnels, routes and firewall are removed", CleanUp(ctx, k, table)
	}
	if err := k.Left.Save(left); err != nil {
		return "", err
	}
	_, routesErr := routes.Remove(ctx, k.Routes, table)
	err = errors.Join(routesErr, removeTunnels(ctx, k.Tunnels))
	if err == nil && k.Withdrawn != nil {
		err = k.Withdrawn.Remove()
	}
	if err != nil {
		return "", fmt.Errorf("clean up the data plane: %w", err)
	}
	return fmt.Sprintf("tunnels and routes are removed; packets to the other datacenters are still dropped (%s), until meshctl leave --release or a new join", leftText(left)), nil
}

// removeGuard removes the firewall, and what outlives it.
func (k Kernel) removeGuard(ctx context.Context) error {
	err := k.Firewall.Remove(ctx)
	if err == nil && k.Withdrawn != nil {
		err = k.Withdrawn.Remove()
	}
	if err == nil && k.Left != nil {
		err = k.Left.Remove()
	}
	if err == nil && k.Earlier != nil {
		err = k.Earlier.Remove()
	}
	return err
}

// StopTunnels removes the tunnels of a gateway that does not run. What keeps packets to
// other datacenters from leaving unencrypted stays.
func (g *Gateway) StopTunnels(ctx context.Context) error {
	if err := removeTunnels(context.WithoutCancel(ctx), g.cfg.Kernel.Tunnels); err != nil {
		return fmt.Errorf("remove the tunnels: %w", err)
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

// Preflight reports why this host cannot carry tunnels, before anything is
// promised to other datacenters: it checks the requirements, creates the first
// interface, binds its port, and removes it again. Interfaces that exist already are
// left alone.
func Preflight(ctx context.Context, k Kernel, file config.Config, key tunnel.PrivateKey) error {
	if unmet := requirement.Unmet(ctx, "this host", k.Requirements); len(unmet) > 0 {
		return &catalog.Refusal{Code: unmet[0].Code, Message: unmet[0].Message, Remedy: unmet[0].Remedy}
	}
	have, err := k.Tunnels.List(ctx)
	if err != nil {
		return fmt.Errorf("list tunnels: %w", err)
	}
	if _, err := k.Firewall.State(ctx); err != nil {
		return fmt.Errorf("read the firewall: %w", err)
	}
	if len(have) > 0 {
		return nil
	}
	_, err = tunnel.Apply(ctx, k.Tunnels, key, []tunnel.Config{{
		Name:       file.WireGuard.Interface + "0",
		ListenPort: file.WireGuard.Port,
		Mark:       file.Routing.Mark,
	}}, false)
	if err := errors.Join(err, removeTunnels(ctx, k.Tunnels)); err != nil {
		return fmt.Errorf("this host cannot carry tunnels: %w", err)
	}
	return nil
}

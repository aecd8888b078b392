package dataplane

import (
	"context"
	"time"

	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/tunnel"
)

const (
	// tunnelInterval is the least time between two readings of the tunnels. WireGuard
	// sends no event when another program changes keys, peers or their prefixes.
	tunnelInterval = time.Second
	// tunnelShare is the inverse of the part of the time that reading them may take.
	tunnelShare = 20
)

// watchTunnels calls changed when the configuration of the tunnels is not as the last
// pass left it.
func watchTunnels(ctx context.Context, device tunnel.Device, left func() ([]tunnel.Observed, bool), changed func()) {
	notify.Loop(ctx, func(ctx context.Context) time.Duration {
		began := time.Now()
		if before, known := left(); known {
			now, err := device.List(ctx)
			if err == nil && !tunnel.SameConfig(before, now) {
				changed()
			}
		}
		return min(max(tunnelInterval, tunnelShare*time.Since(began)), resyncInterval)
	})
}

// leftTunnels returns the tunnels as the last pass left them.
func (g *Gateway) leftTunnels() ([]tunnel.Observed, bool) {
	if p := g.last.Load(); p != nil {
		return p.tunnels, true
	}
	return nil, false
}

// leftTunnels returns the tunnels as the last pass left them.
func (n *Node) leftTunnels() ([]tunnel.Observed, bool) {
	if p := n.last.Load(); p != nil {
		return p.tunnels, true
	}
	return nil, false
}

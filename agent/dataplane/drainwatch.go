package dataplane

import (
	"context"
	"time"

	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/tunnel"
)

const (
	// DrainPropagation is the least time that others get to learn of a drain:
	// other datacenters need a round trip, nodes an answer of their API server.
	DrainPropagation = 3 * time.Second
	// drainSampleInterval is the time between two readings of the counters.
	drainSampleInterval = time.Second
	// drainedRate is the most that a peer still sends to a drained gateway,
	// liveness and catalog, in bytes per second.
	drainedRate = 16 << 10
)

// finishDrains finishes each drain when no more traffic arrives, including one
// that an earlier agent began. What arrives before is forwarded.
func (g *Gateway) finishDrains(ctx context.Context) {
	notify.Loop(ctx, func(ctx context.Context) time.Duration {
		if g.draining() && g.trafficEnds(ctx) {
			g.cfg.Drain.finish()
		}
		return 0
	}, g.cfg.Drain.Changed)
}

func (g *Gateway) draining() bool {
	step, _ := g.cfg.Drain.At(time.Now())
	return step == plan.Draining
}

// trafficEnds waits until every peer sends less than drainedRate. It returns
// false if the drain ended before.
func (g *Gateway) trafficEnds(ctx context.Context) bool {
	wait, before := DrainPropagation, map[tunnel.PublicKey]uint64(nil)
	for {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
		}
		if !g.draining() {
			return false
		}
		wait = drainSampleInterval
		tunnels, err := g.cfg.Kernel.Tunnels.List(ctx)
		if err != nil {
			g.cfg.Log.Debug("failed to read the counters of the tunnels", "err", err)
			continue
		}
		now := receivedBytes(tunnels)
		if before != nil && belowDrainedRate(before, now) {
			return true
		}
		before = now
	}
}

// receivedBytes returns the bytes that were received from each peer.
func receivedBytes(tunnels []tunnel.Observed) map[tunnel.PublicKey]uint64 {
	bytes := map[tunnel.PublicKey]uint64{}
	for _, t := range tunnels {
		for _, p := range t.Peers {
			bytes[p.PublicKey] += p.ReceivedBytes
		}
	}
	return bytes
}

func belowDrainedRate(before, now map[tunnel.PublicKey]uint64) bool {
	for key, bytes := range now {
		if bytes > before[key]+drainedRate {
			return false
		}
	}
	return true
}

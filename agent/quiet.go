package agent

import (
	"context"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/tunnel"
)

const (
	// drainSettle is what others get at least to hear that this gateway is
	// drained: other datacenters need a round trip, nodes an answer of their
	// API server.
	drainSettle = 3 * time.Second
	// drainLook is the time between two looks at what arrives.
	drainLook = time.Second
	// drainedRate is what a peer of a drained gateway still sends, at most:
	// liveness and the catalog, in bytes a second.
	drainedRate = 16 << 10
)

// settle brings each drain to its end when nothing more arrives, also one that
// an earlier agent began. What arrives before is sent on.
func (l *loop) settle(ctx context.Context) error {
	for ctx.Err() == nil {
		changed := l.drain.news.Changed()
		if l.draining() && l.quiet(ctx) {
			l.drain.finish()
			l.wake.Up()
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
	return nil
}

func (l *loop) draining() bool {
	step, _ := l.drain.at(time.Now())
	return step == plan.Draining
}

// quiet waits until peers have all but stopped sending; false: the drain has
// ended before.
func (l *loop) quiet(ctx context.Context) bool {
	pause, before := drainSettle, map[tunnel.PublicKey]uint64(nil)
	for {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
		if !l.draining() {
			return false
		}
		pause = drainLook
		tunnels, err := l.dataplane.Tunnels.List(ctx)
		if err != nil {
			l.log.Debug("what arrives cannot be seen", "err", err)
			continue
		}
		now := received(tunnels)
		if before != nil && silent(before, now) {
			return true
		}
		before = now
	}
}

func received(tunnels []tunnel.Observed) map[tunnel.PublicKey]uint64 {
	bytes := map[tunnel.PublicKey]uint64{}
	for _, t := range tunnels {
		for _, p := range t.Peers {
			bytes[p.PublicKey] += p.ReceivedBytes
		}
	}
	return bytes
}

func silent(before, now map[tunnel.PublicKey]uint64) bool {
	for key, bytes := range now {
		if bytes > before[key]+drainedRate {
			return false
		}
	}
	return true
}

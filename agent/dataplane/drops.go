package dataplane

import (
	"context"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/interference"
	"github.com/meshway/meshway/routes"
)

// dropMemory is how long a problem is reported after the firewall has dropped a
// packet. It is longer than the time between two passes.
const dropMemory = 2 * resyncInterval

// dropsInterval is how often the counters are read between passes: nft needs some
// milliseconds for that.
const dropsInterval = 5 * time.Second

// drops is what the firewall has dropped so far.
type drops struct {
	counters      []routes.Counter
	unencryptedAt time.Time // when the pass that found more unencrypted packets ran; zero: none has
}

// next returns the drops after counters were read. The first reading only starts
// the comparison: the table keeps its counters over restarts of the agent.
func (d drops) next(at time.Time, counters []routes.Counter) drops {
	after := drops{counters: counters, unencryptedAt: d.unencryptedAt}
	if len(d.counters) > 0 && packets(counters, routes.CounterUnencrypted) > packets(d.counters, routes.CounterUnencrypted) {
		after.unencryptedAt = at
	}
	return after
}

// recent reports whether a packet that was not encrypted was dropped recently.
func (d drops) recent(at time.Time) bool {
	return !d.unencryptedAt.IsZero() && at.Sub(d.unencryptedAt) < dropMemory
}

func packets(counters []routes.Counter, name string) uint64 {
	i := slices.IndexFunc(counters, func(c routes.Counter) bool { return c.Name == name })
	if i < 0 {
		return 0
	}
	return counters[i].Packets
}

// watchDrops calls wake when the firewall has dropped unencrypted packets since the last
// pass, until ctx ends: no other event shows that. It does not while the problem is
// reported anyway.
func watchDrops(ctx context.Context, firewall routes.Filter, last func() drops, wake func()) {
	ticker := time.NewTicker(dropsInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			before := last()
			if len(before.counters) == 0 || before.recent(now) {
				continue
			}
			if counters, err := firewall.Counters(ctx); err == nil && before.next(now, counters).recent(now) {
				wake()
			}
		}
	}
}

// observeDrops reads the counters of the firewall and adds the problems that
// follow.
func (o *outcome) observeDrops(ctx context.Context, firewall routes.Filter, paths interference.Paths, before drops) {
	o.drops, paths.Observed = before, o.routes
	counters, err := firewall.Counters(ctx)
	if err != nil {
		o.add(err)
		return
	}
	o.drops = before.next(o.at, counters)
	if o.drops.recent(o.at) {
		o.problems = append(o.problems, paths.UnencryptedDropped())
	}
}

package controller

import (
	"context"
	"hash/maphash"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// coalesce is how long changes are gathered before the catalog is looked at
	// again: bursts become few writes.
	coalesce = 20 * time.Millisecond
	// reachabilityInterval is how often Outage is asked.
	reachabilityInterval = time.Second
)

// seen is what of the catalog and the data plane was looked at last.
type seen struct {
	view     *catalog.View
	stamps   map[catalog.ServiceName]uint64
	prefixes []catalog.Prefix
	outage   mcs.Outage
}

// look takes no stamps: they cost, and only watch compares them.
func look(conf Config) seen {
	view := conf.Catalog.View()
	dc, _ := view.Datacenter(conf.Datacenter)
	return seen{view: view, prefixes: dc.Prefixes, outage: conf.Outage()}
}

// watch queues the names for which something has changed outside of this cluster.
func (c *Controller) watch(ctx context.Context, q queue, r *reconciler) {
	seed := maphash.MakeSeed()
	last := *r.seen.Load()
	last.stamps = last.view.ExportedNames(seed)
	for name := range last.stamps {
		q.Add(name)
	}
	ticks := time.NewTicker(reachabilityInterval)
	defer ticks.Stop()
	for {
		changed := c.conf.Catalog.Changed()
		now := look(c.conf)
		now.stamps = last.stamps
		if now.view.Index() != last.view.Index() { // most ticks find nothing new, and stamps cost
			now.stamps = now.view.ExportedNames(seed)
		}
		r.seen.Store(&now)
		for _, name := range last.differ(now, r.local.names) {
			q.Add(name)
		}
		last = now
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		case <-changed:
			pause(ctx, coalesce)
		}
	}
}

// differ gives the names to look at again; other prefixes change what this
// cluster exports, so then also those that only this cluster knows.
func (s seen) differ(now seen, local func() []catalog.ServiceName) []catalog.ServiceName {
	all := !s.outage.Equal(now.outage)
	var names []catalog.ServiceName
	for name, stamp := range now.stamps {
		if old, known := s.stamps[name]; all || !known || old != stamp {
			names = append(names, name)
		}
	}
	for name := range s.stamps {
		if _, there := now.stamps[name]; !there {
			names = append(names, name)
		}
	}
	if !slices.Equal(s.prefixes, now.prefixes) {
		names = append(names, local()...)
	}
	return names
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

package controller

import (
	"context"
	"hash/maphash"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

const (
	// coalesce is how long changes of the catalog are collected before they are
	// handled, so that a burst of them becomes few writes.
	coalesce = 20 * time.Millisecond
	// outageInterval is how often Outage is called.
	outageInterval = time.Second
)

// observation is the state of the catalog and the data plane at one time.
type observation struct {
	view     *replica.View
	stamps   map[catalog.ServiceName]uint64 // see replica.View.ExportedNames; expensive
	prefixes []catalog.Prefix
	outage   mcs.Outage
}

// observeNow returns an observation without stamps.
func observeNow(cfg Config) observation {
	view := cfg.Catalog.View()
	dc, _ := view.Datacenter(cfg.Datacenter)
	return observation{view: view, prefixes: dc.Prefixes, outage: cfg.Outage()}
}

// observe queues the names that change outside of this cluster, until ctx ends.
func (c *Controller) observe(ctx context.Context, q queue, r *reconciler) {
	seed := maphash.MakeSeed()
	last := *r.observed.Load()
	last.stamps = last.view.ExportedNames(seed)
	for name := range last.stamps {
		q.Add(name)
	}
	notify.LoopBatched(ctx, coalesce, func(context.Context) time.Duration {
		now := observeNow(c.cfg)
		now.stamps = last.stamps
		if now.view.ExportsIndex() != last.view.ExportsIndex() { // most passes find no change
			now.stamps = now.view.ExportedNames(seed)
		}
		r.observed.Store(&now)
		for _, name := range last.changedNames(now, r.cache.names) {
			q.Add(name)
		}
		last = now
		return outageInterval
	}, c.cfg.Catalog.Changed)
}

// changedNames returns the names to reconcile after a change from o to now. Other
// prefixes change what this cluster publishes, so they include all names of the
// cluster.
func (o observation) changedNames(now observation, cluster func() []catalog.ServiceName) []catalog.ServiceName {
	all := !o.outage.Equal(now.outage)
	var names []catalog.ServiceName
	for name, stamp := range now.stamps {
		if old, known := o.stamps[name]; all || !known || old != stamp {
			names = append(names, name)
		}
	}
	for name := range o.stamps {
		if _, exported := now.stamps[name]; !exported {
			names = append(names, name)
		}
	}
	if !slices.Equal(o.prefixes, now.prefixes) {
		names = append(names, cluster()...)
	}
	return append(names, o.contenders(now, names)...)
}

// contenders returns the exported names whose mirrors a change of names from o to now
// can affect: two mirrors can have one name.
func (o observation) contenders(now observation, names []catalog.ServiceName) []catalog.ServiceName {
	var contenders []catalog.ServiceName
	for _, name := range names {
		for _, n := range slices.Concat(mcs.Contenders(o.view, name), mcs.Contenders(now.view, name)) {
			if _, exported := now.stamps[n]; exported {
				contenders = append(contenders, n)
			}
		}
	}
	return contenders
}

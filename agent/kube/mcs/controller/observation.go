package controller

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/feed"
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
	prefixes []catalog.Prefix
	outage   mcs.Outage
}

func observeNow(cfg Config) observation {
	view := cfg.Catalog.View()
	dc, _ := view.Datacenter(cfg.Datacenter)
	return observation{view: view, prefixes: dc.Prefixes, outage: cfg.Outage()}
}

// observe queues the names that change outside of this cluster, until ctx ends.
func (c *Controller) observe(ctx context.Context, q queue, r *reconciler) {
	last := *r.observed.Load()
	reader := feedReader{feed: c.cfg.Catalog.Feed()}
	defer reader.close()
	notify.LoopBatched(ctx, coalesce, func(context.Context) time.Duration {
		changes, known := reader.next() // before the view, which has all that they report
		now := observeNow(c.cfg)
		r.observed.Store(&now) // before the annotations of namespaces are read
		if !known {
			reader.start(now.view.Index())
		}
		names := last.changedNames(now, changes, r.cache)
		if !known || !last.outage.Equal(now.outage) {
			names = slices.Concat(names, allNames(now.view, r.cache))
		}
		for _, name := range names {
			q.Add(name)
		}
		last = now
		return outageInterval
	}, c.cfg.Catalog.Changed)
}

// changedNames returns the names to reconcile after changes from o to now. Other
// prefixes change what this cluster publishes, so they include all names of the
// cluster.
func (o observation) changedNames(now observation, changes []feed.Change, cache *clusterCache) []catalog.ServiceName {
	exports := map[catalog.ServiceName]bool{}
	var names []catalog.ServiceName
	for _, c := range changes {
		item := cmp.Or(c.After, c.Before)
		key := item.Key()
		name := catalog.ServiceName{Namespace: key.Namespace, Name: key.Name}
		if item.Export != nil {
			exports[name] = true
		} else if !cache.origins(name.Namespace).None() {
			names = append(names, name)
		}
	}
	for name := range exports {
		names = append(names, name)
		names = append(names, o.contenders(now, name)...)
	}
	if !slices.Equal(o.prefixes, now.prefixes) {
		names = append(names, cache.names()...)
	}
	return names
}

// contenders returns the exported names whose mirrors a change of an export from o to
// now can affect: two mirrors can have one name.
func (o observation) contenders(now observation, name catalog.ServiceName) []catalog.ServiceName {
	all := slices.Concat(mcs.Contenders(o.view, name), mcs.Contenders(now.view, name))
	return slices.DeleteFunc(all, func(n catalog.ServiceName) bool {
		return len(now.view.Exports(replica.ExportFilter{Namespace: n.Namespace, Name: n.Name})) == 0
	})
}

// allNames returns the names that are exported, that are registered in a namespace which
// imports them, and that have objects in this cluster; some of them repeatedly.
func allNames(view *replica.View, cache *clusterCache) []catalog.ServiceName {
	names := cache.names()
	for _, e := range view.Exports(replica.ExportFilter{}) {
		names = append(names, catalog.ServiceName{Namespace: e.Namespace, Name: e.Name})
	}
	for _, n := range cache.annotated() {
		if cache.origins(n.Name).None() {
			continue
		}
		for _, s := range view.Services(replica.ServiceFilter{Namespace: n.Name}) {
			names = append(names, catalog.ServiceName{Namespace: s.Namespace, Name: s.Name})
		}
	}
	return names
}

// feedReader reads the changes of the catalog, each once.
type feedReader struct {
	feed    *feed.Feed
	watcher *feed.Watcher // nil: the changes are not known
}

// start makes next return the changes after an index.
func (r *feedReader) start(index uint64) {
	r.watcher, _ = r.feed.Watch(feed.Filter{}, index) // nil if they are lost already
}

// next returns the changes since the last call, or reports false if they are not known.
func (r *feedReader) next() (changes []feed.Change, known bool) {
	for r.watcher != nil {
		batch, err := r.watcher.Next()
		switch {
		case err != nil:
			r.close()
		case len(batch.Changes) == 0:
			return changes, true
		}
		changes = append(changes, batch.Changes...)
	}
	return nil, false
}

func (r *feedReader) close() {
	if r.watcher != nil {
		r.watcher.Close()
		r.watcher = nil
	}
}

package api

import (
	"context"
	"runtime"

	"golang.org/x/sync/semaphore"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/feed"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// maxMemory is how much memory the states that are sent to the programs with one token, or
// to all on the unix socket, take at a time, in bytes. One that takes more is sent alone.
const maxMemory = 128 << 20

// About what a service takes while it is sent: its wire form, and that form encoded as
// JSON.
const (
	itemMemory     = 1 << 10
	sliceMemory    = 512
	endpointMemory = 512
	portMemory     = 256
	labelMemory    = 192
	textFactor     = 4 // the encoded text, in a buffer that grows
)

// grant is the memory that a call has.
type grant struct {
	of   *semaphore.Weighted // of its caller
	held int64
}

// release returns the memory. A call without a grant, in a test, has no bound.
func (g *grant) release() {
	if g == nil {
		return
	}
	g.of.Release(g.held)
	g.held = 0
}

// grantKey is the key of the *grant of a call in its context.
type grantKey struct{}

func grantOf(ctx context.Context) *grant {
	g, _ := ctx.Value(grantKey{}).(*grant)
	return g
}

// listings bounds how many lists are made at a time, of which the memory is not known yet.
type listings struct{ slots *semaphore.Weighted }

func newListings() listings {
	return listings{semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0)))}
}

// list is what one call sends.
type list struct {
	items []*feed.Item
	index uint64
	fresh consensus.Freshness
}

// found returns the services in a view that a call sends.
type found func(*replica.View) []*feed.Item

func selected(filter feed.Filter) found {
	return func(view *replica.View) []*feed.Item { return feed.List(view, filter) }
}

// one returns the service with a key, or none.
func one(key feed.Key) found {
	return func(view *replica.View) []*feed.Item {
		if item, ok := feed.Get(view, key); ok {
			return []*feed.Item{item}
		}
		return nil
	}
}

// read lists services when there is memory for them. While it waits, it holds nothing of
// the catalog, so that it reads it again.
func (l listings) read(ctx context.Context, member Member, mode consensus.ReadMode, find found) (list, error) {
	g := grantOf(ctx)
	out, cost, err := l.once(ctx, member, mode, find)
	if err != nil || g == nil {
		return out, err
	}
	if g.of.TryAcquire(cost) {
		g.held = cost
		return out, nil
	}
	out = list{} // not kept while the call waits
	if err := g.of.Acquire(ctx, cost); err != nil {
		return out, err
	}
	g.held = cost
	out, _, err = l.once(ctx, member, mode, find)
	return out, err
}

// once lists services, and estimates the memory that it takes to send them.
func (l listings) once(ctx context.Context, member Member, mode consensus.ReadMode, find found) (list, int64, error) {
	view, fresh, err := member.Read(ctx, mode)
	if err != nil {
		return list{}, 0, err
	}
	if err := l.slots.Acquire(ctx, 1); err != nil {
		return list{}, 0, err
	}
	defer l.slots.Release(1)
	out := list{items: find(view), index: view.Index(), fresh: fresh}
	return out, costOf(out.items), nil
}

func costOf(items []*feed.Item) int64 {
	n := 0
	for _, item := range items {
		n += itemMemory
		if s := item.Service; s != nil {
			n += len(s.Ports)*portMemory + costOfLabels(s.Labels)
			continue
		}
		e := item.Export
		n += costOfPorts(e.Ports) + costOfLabels(e.Labels) + costOfLabels(e.Annotations)
		for _, s := range e.Slices {
			n += sliceMemory + costOfPorts(s.Ports) + len(s.Endpoints)*endpointMemory
			for _, endpoint := range s.Endpoints {
				n += textFactor * (len(endpoint.Hostname) + len(endpoint.Zone))
			}
		}
	}
	return min(int64(n), maxMemory)
}

func costOfPorts(ports []catalog.ExportPort) (n int) {
	for _, p := range ports {
		n += portMemory + textFactor*(len(p.Name)+len(p.AppProtocol))
	}
	return n
}

func costOfLabels(labels map[string]string) (n int) {
	for k, v := range labels {
		n += labelMemory + textFactor*(len(k)+len(v))
	}
	return n
}
